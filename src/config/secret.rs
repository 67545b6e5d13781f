//! Secrets: given as a value, or as the name of a file that holds it.

use secrecy::SecretString;

use super::error::Problem;
use super::key::Key;
use super::reader::Reader;

/// The secret `key`, or what the file holds that `file` names. Variables beat the file as a whole: a variable of either form
/// sets aside what the configuration file says in either form. No message ever repeats what was written, not even as a path,
/// since a secret may have been put in the wrong place.
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
    match secret {
        Ok(secret) => {
            reader.show_secret(key, &secret);
            Some(secret)
        }
        Err(problems) => {
            for problem in problems {
                reader.fault_in(named.name, problem, reader.origin(raw));
            }
            None
        }
    }
}
