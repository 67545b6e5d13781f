//! What a secret may be, written itself or in a file.

use secrecy::SecretString;

use super::error::Problem;
use super::value::{self, Raw};

/// A secret that was written itself.
pub(super) fn written(raw: Raw<'_>) -> Result<SecretString, Problem> {
    checked(raw.text()?)
}

/// A secret in the file that was written.
pub(super) fn in_file(raw: Raw<'_>) -> Result<SecretString, Problem> {
    let content = std::fs::read_to_string(value::path(raw)?)
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
