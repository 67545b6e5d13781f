//! Secrets: given as a value, or as the name of a file that holds it.

use secrecy::SecretString;

use super::error::{Origin, Problem};
use super::reader::Reader;
use super::value::Raw;

/// The secret `key`, or what the file holds that `key_file` names. Variables beat the file as a whole: a variable of either form
/// sets aside what the configuration file says in either form. No message ever repeats what was written, not even as a path,
/// since a secret may have been put in the wrong place.
pub(super) fn read(reader: &mut Reader<'_>, key: &str) -> Option<SecretString> {
    let file_key = format!("{key}_file");
    reader.ignore(key);
    reader.ignore(&file_key);
    let environment = (reader.in_environment(key), reader.in_environment(&file_key));
    let table = || (reader.in_table(key), reader.in_table(&file_key));
    let (value, file) = if environment == (None, None) {
        table()
    } else {
        environment
    };
    let (named, raw, secret) = match (value, file) {
        (None, None) => return None,
        (Some(raw), Some(_)) => {
            let problem = Problem::new(format!(
                "given both itself and as {file_key}; leave one out"
            ));
            (key, raw, Err(problem))
        }
        (Some(raw), None) => (key, raw, value_of(raw)),
        (None, Some(raw)) => (file_key.as_str(), raw, content_of(raw)),
    };
    match secret {
        Ok(secret) => Some(secret),
        Err(problem) => {
            let origin: Origin = reader.origin(raw);
            reader.fault_in(named, problem, origin);
            None
        }
    }
}

/// Whether `key` is given in either form.
pub(super) fn is_set(reader: &Reader<'_>, key: &str) -> bool {
    reader.is_set(key) || reader.is_set(&format!("{key}_file"))
}

fn value_of(raw: Raw<'_>) -> Result<SecretString, Problem> {
    checked(raw.text()?)
}

fn content_of(raw: Raw<'_>) -> Result<SecretString, Problem> {
    let content = std::fs::read_to_string(super::value::path(raw)?)
        .map_err(|error| Problem::new(format!("the file cannot be read: {error}")))?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let secret = content.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(Problem::new("the file is empty"));
    }
    checked(secret)
}

/// A token goes into a header or a JSON body: blanks and control characters in it are the trace of a slip of the hand.
fn checked(secret: &str) -> Result<SecretString, Problem> {
    if secret.trim().is_empty() {
        return Err(Problem::new("is empty"));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::new(
            "must be one word of ASCII, without blanks or line breaks",
        ));
    }
    Ok(SecretString::from(secret))
}
