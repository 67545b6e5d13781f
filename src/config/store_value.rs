//! The values of keys that are about the shared store.

use std::sync::Arc;

use url::Url;

use super::error::{Problem, Problems};
use super::list_value;
use super::value::Raw;

/// The addresses of the store.
pub(super) fn urls(raw: Raw<'_>) -> Result<Vec<Url>, Problems> {
    let urls = list_value::every(raw, |raw| {
        let url = Url::parse(raw.text()?)
            .map_err(|_| Problem::new("is not a URL, such as redis://valkey.example:6379"))?;
        if !matches!(url.scheme(), "redis" | "rediss" | "valkey" | "valkeys") {
            return Err(Problem::new(
                "must begin with redis:// or valkey://, or with rediss:// or valkeys:// for TLS",
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Problem::new(
                "has no host; write a URL such as redis://valkey.example:6379",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Problem::new(
                "must not hold a user name or password: cache.shared.username and cache.shared.password are for these",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Problem::new("must not have a query (?…) or fragment (#…)"));
        }
        Ok(url)
    })?;
    let is_tls = |url: &Url| matches!(url.scheme(), "rediss" | "valkeys");
    if urls.iter().any(is_tls) && !urls.iter().all(is_tls) {
        return Err(Problem::new("must all be with TLS, or all without").into());
    }
    if urls.is_empty() {
        return Err(Problem::new("is empty; leave it out where no store is shared").into());
    }
    Ok(urls)
}

/// The name that sentinels know a primary by: they take no others.
pub(super) fn name(raw: Raw<'_>) -> Result<Arc<str>, Problem> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    word(raw, "letters, digits, '-', '_' and '.'", is_of_name)
}

/// The beginning of every key. A brace would decide on which node of a cluster a key lies.
pub(super) fn prefix(raw: Raw<'_>) -> Result<Arc<str>, Problem> {
    let is_of_prefix = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    word(
        raw,
        "letters, digits, '-', '_', '.', ':' and '/'",
        is_of_prefix,
    )
}

/// The name of a user of the store.
pub(super) fn username(raw: Raw<'_>) -> Result<Arc<str>, Problem> {
    word(raw, "ASCII, without blanks", |byte| byte.is_ascii_graphic())
}

fn word(raw: Raw<'_>, of: &str, fits: fn(u8) -> bool) -> Result<Arc<str>, Problem> {
    let text = raw.text()?;
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err(Problem::echo(
            text,
            &format!("a name of {of}, of 1 to 64 bytes"),
        ));
    }
    Ok(text.into())
}
