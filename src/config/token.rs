//! Reads and checks secrets, written directly or in a file.

use secrecy::SecretString;

use super::error::Problem;
use super::value::{self, Raw};

/// Reads a secret that is written directly.
pub(super) fn written(raw: Raw<'_>) -> Result<SecretString, Problem> {
    checked(raw.text()?)
}

/// Reads a secret from the named file.
pub(super) fn in_file(raw: Raw<'_>) -> Result<SecretString, Problem> {
    let content = std::fs::read_to_string(value::path(raw)?)
        .map_err(|error| Problem::new(format!("the file cannot be read: {error}")))?;
    // Editors and `echo` end a file with a line break that is not part of the secret.
    let secret = content.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(Problem::new("the file is empty"));
    }
    checked(secret)
}

/// Checks that a secret fits into a header or a JSON body: blanks and control characters in it come from a typing error.
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
