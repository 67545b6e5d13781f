//! The values of keys that are URLs.

use url::{Host, Url};

use super::error::{Problem, Problems};
use super::value::Raw;

/// A URL of the vendor: `https`, or `http` on a loopback host, so that no token crosses a network unencrypted.
///
/// The message never repeats the text, since the text may contain a password.
pub(super) fn vendor_url(raw: Raw<'_>) -> Result<Url, Problems> {
    let (url, problems) = vendor(raw)?;
    Problems::or(problems, url)
}

/// A [`vendor_url`] to which Pitaya appends paths.
pub(super) fn vendor_base_url(raw: Raw<'_>) -> Result<Url, Problems> {
    let (url, mut problems) = vendor(raw)?;
    if url.query().is_some() {
        problems.push(Problem::new("must not have a query (?…)"));
    }
    Problems::or(problems, url)
}

/// A URL, and the reasons why it can't be the vendor's.
fn vendor(raw: Raw<'_>) -> Result<(Url, Vec<Problem>), Problem> {
    let url = Url::parse(raw.text()?)
        .map_err(|_| Problem::new("is not a URL, such as https://api.example.com"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => {
            return Err(Problem::new(
                "has no host; write a URL such as https://api.example.com",
            ));
        }
    };
    let mut problems = Vec::new();
    let mut must = |text: &str| problems.push(Problem::new(format!("must {text}")));
    if !url.username().is_empty() || url.password().is_some() {
        must("not hold a user name or password");
    }
    if url.fragment().is_some() {
        must("not have a fragment (#…)");
    }
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => must(
            "be https: plain http is accepted for loopback hosts only (localhost, 127.0.0.1, [::1])",
        ),
        _ => must("be an https URL"),
    }
    Ok((url, problems))
}

/// The base URL of a collector of traces. Unlike the vendor's, it receives none of our secrets, so it may be plain http.
pub(super) fn collector(raw: Raw<'_>) -> Result<Url, Problems> {
    let url = Url::parse(raw.text()?)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        .ok_or_else(|| Problem::new("is not a URL, such as http://localhost:4318"))?;
    let mut problems = Vec::new();
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(Problem::new("must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        problems.push(Problem::new("must not have a query (?…) or fragment (#…)"));
    }
    Problems::or(problems, url)
}
