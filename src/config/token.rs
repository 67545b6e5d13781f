//! Reads and checks secrets, written directly or in a file.

use secrecy::SecretString;

use super::error::Problem;
use super::value::{self, Raw};

/// Reads a secret that is written directly.
pub(super) fn written(raw: Raw<'_>) -> Result<SecretString, Problem> {
    checked(raw.text()?)
}

/// Reads a password that is written directly.
pub(super) fn phrase(raw: Raw<'_>) -> Result<SecretString, Problem> {
    spoken(raw.text()?)
}

/// Reads a secret from the named file.
pub(super) fn in_file(raw: Raw<'_>) -> Result<SecretString, Problem> {
    checked(&content(raw)?)
}

/// Reads a password from the named file.
pub(super) fn phrase_in_file(raw: Raw<'_>) -> Result<SecretString, Problem> {
    spoken(&content(raw)?)
}

fn content(raw: Raw<'_>) -> Result<String, Problem> {
    let path = value::path(raw)?;
    // Some have written the secret itself in place of its path.
    let name = if path.is_absolute() || path.starts_with(".") || path.starts_with("..") {
        path.display().to_string()
    } else {
        "the file".to_owned()
    };
    let content = std::fs::read_to_string(&path)
        .map_err(|error| Problem::new(format!("{name} cannot be read: {error}")))?;
    // Editors and `echo` end a file with a line break that is not part of the secret.
    let secret = content.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(Problem::new(format!("{name} is empty")));
    }
    Ok(secret.to_owned())
}

/// Checks a password, which may hold blanks and letters of any language: the store compares bytes.
fn spoken(password: &str) -> Result<SecretString, Problem> {
    if password.is_empty() {
        return Err(Problem::new("is empty"));
    }
    if password.chars().any(char::is_control) {
        return Err(Problem::new("must be one line, without control characters"));
    }
    Ok(SecretString::from(password))
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
