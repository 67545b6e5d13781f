//! The origins of `[cors]`.

use http::HeaderValue;
use toml::Value;
use url::Url;

use super::error::{Problem, Problems};
use super::list_value;
use super::value::Raw;

/// Origins from which browsers may call, exactly as browsers send them (RFC 6454, section 6.2).
pub(super) fn origins(raw: Raw<'_>) -> Result<Vec<HeaderValue>, Problems> {
    list_value::every(raw, origin)
}

/// The opposite of [`origins()`].
pub(super) fn show(origins: &[HeaderValue]) -> Value {
    let text = |origin: &HeaderValue| String::from_utf8_lossy(origin.as_bytes()).into_owned();
    origins.iter().map(text).collect::<Vec<_>>().into()
}

fn origin(raw: Raw<'_>) -> Result<HeaderValue, Problem> {
    const FORM: &str =
        "an exact origin, such as https://dashboard.example.com or http://localhost:3000";
    let text = raw.text()?;
    let canonical = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && !text.contains('*'))
        .map(|url| url.origin().ascii_serialization());
    match canonical {
        Some(canonical) if canonical == text => {
            HeaderValue::from_str(text).map_err(|_| Problem::echo(text, FORM))
        }
        // The message does not repeat the text: it may contain a password.
        Some(canonical) => Err(Problem::new(format!(
            "must be {FORM}; a browser sends {canonical}, without path, password or default port"
        ))),
        None => Err(Problem::echo(text, FORM)),
    }
}
