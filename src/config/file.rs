//! Reads the configuration file into a table.

use std::path::Path;

use toml::Table;

use super::error::ConfigError;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        file: path.to_owned(),
        reason: error.to_string(),
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
        ConfigError::Syntax {
            file: path.to_owned(),
            line,
            column,
            // Only the message: toml's own `Display` shows the line, which may contain a secret.
            reason: error.message().replace('\n', "; "),
        }
    })
}

/// The line and column, both counted from 1, of the byte at `offset`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_is_one_line_with_its_place_and_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pitaya.toml");
        std::fs::write(&path, "[upstream]\nrefresh_token = \"hush\" hush\n").unwrap();

        let message = read(&path).unwrap_err().to_string();

        assert!(message.contains("pitaya.toml:2:"), "{message}");
        assert!(message.contains("not valid TOML"), "{message}");
        assert!(!message.contains("hush"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn positions_count_from_one_in_characters() {
        assert_eq!(position("ä = 1\nb", 0), (1, 1));
        assert_eq!(position("ä = 1\nb", 3), (1, 3));
        assert_eq!(position("ä = 1\nb", 7), (2, 1));
        assert_eq!(position("", 5), (1, 1));
    }
}
