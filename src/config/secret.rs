//! Secrets: written directly, or in a named file.

use secrecy::SecretString;

use super::error::Problem;
use super::key::Key;
use super::reader::Reader;

/// Reads the secret from `key`, or from the file that `file` names. Variables override the configuration file as a whole: a variable
/// of either form replaces both forms in the file. No message ever repeats the written text, not even a path, since an operator may
/// have put a secret in the wrong place.
pub(super) fn read(
    reader: &mut Reader<'_>,
    key: &Key<SecretString>,
    file: &Key<SecretString>,
) -> Option<SecretString> {
    let environment = (
        reader.in_environment(key.name),
        reader.in_environment(file.name),
    );
    let written = if environment == (None, None) {
        (reader.in_table(key.name), reader.in_table(file.name))
    } else {
        environment
    };
    let (named, raw, secret) = match written {
        (None, None) => return None,
        (Some(raw), Some(_)) => {
            let problem = Problem::new(format!(
                "given both itself and as {}; leave one out",
                file.name
            ));
            (key, raw, Err(problem.into()))
        }
        (Some(raw), None) => (key, raw, (key.parse)(raw)),
        (None, Some(raw)) => (file, raw, (file.parse)(raw)),
    };
    let secret = reader.accept(named.name, raw, secret)?;
    reader.show_secret(key, &secret);
    Some(secret)
}
