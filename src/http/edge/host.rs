//! The host in a request (RFC 9112, section 3.2), and whether this machine sent the request for itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Version;
use http::header::{FORWARDED, HeaderName, VIA};
use http::request::Parts;

use super::request_fields::RequestFields;
use crate::http::problem::ApiError;

/// Fields that proxies add to requests.
const FORWARDING: [HeaderName; 5] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    VIA,
];

/// Checks that a request names its host once, in a valid form: in `Host`, or for HTTP/2 in `:authority`. HTTP/1.0 need not name one.
pub(in crate::http) fn check(head: &Parts, fields: &RequestFields<'_>) -> Result<(), ApiError> {
    let Ok(host) = fields.host.single() else {
        return Err(ApiError::InvalidHost);
    };
    let authority = head.uri.authority();
    let valid = match host {
        Some(host) if Authority::parse(host).is_none() => false,
        // RFC 9113, section 8.3.1. In HTTP/1.1, the target's own host counts and overrides `Host`.
        Some(host) if head.version >= Version::HTTP_2 => {
            authority.is_none_or(|named| named.as_str().as_bytes().eq_ignore_ascii_case(host))
        }
        Some(_) => true,
        None if head.version >= Version::HTTP_2 => authority.is_some(),
        None => head.version < Version::HTTP_11,
    };
    if valid {
        Ok(())
    } else {
        Err(ApiError::InvalidHost)
    }
}

/// Whether `peer` is this machine and sent the request for itself, rather than as a proxy for another machine or for a foreign page.
///
/// The host must be `localhost` or an address: any other name may belong to an attacker who makes it resolve to this machine (DNS
/// rebinding).
pub(in crate::http) fn is_from_here(peer: Option<SocketAddr>, head: &Parts) -> bool {
    // A listener for both IP versions shows IPv4 peers as mapped addresses.
    let near = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let forwarded = FORWARDING
        .iter()
        .any(|name| head.headers.contains_key(name));
    near && !forwarded && names_this_machine(head)
}

fn names_this_machine(head: &Parts) -> bool {
    let fields = RequestFields::of(&head.headers);
    let Ok(host) = fields.host.single() else {
        return false;
    };
    let target = head.uri.authority().map(|named| named.as_str().as_bytes());
    let Some(host) = host.or(target).and_then(Authority::parse) else {
        return false;
    };
    let same_target = target.is_none_or(|target| Authority::parse(target).as_ref() == Some(&host));
    host.is_unnamed() && same_target && is_own_page(&fields, &host)
}

/// Whether the request came from no page, or from one of our own.
fn is_own_page(fields: &RequestFields<'_>, host: &Authority<'_>) -> bool {
    match fields.origin.single() {
        Ok(None) => true,
        Ok(Some(origin)) => {
            let origin = origin.strip_prefix(b"http://").and_then(Authority::parse);
            origin.as_ref() == Some(host)
        }
        Err(_) => false,
    }
}

/// A host and its port (RFC 3986, section 3.2), without user information.
#[derive(Debug)]
struct Authority<'a> {
    host: Host<'a>,
    port: Option<u16>,
}

#[derive(Debug)]
enum Host<'a> {
    /// An address of IP version 6.
    V6(Ipv6Addr),
    /// A name, or an address of IP version 4, which has only one form.
    Named(&'a [u8]),
}

/// Default port of `http`.
const HTTP_PORT: u16 = 80;

impl<'a> Authority<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (host, port) = if let Some(bracketed) = text.strip_prefix(b"[") {
            let end = bracketed.iter().position(|byte| *byte == b']')?;
            let address = str::from_utf8(&bracketed[..end]).ok()?;
            (Host::V6(address.parse().ok()?), &bracketed[end + 1..])
        } else {
            let end = text.iter().position(|byte| *byte == b':');
            let (name, port) = text.split_at(end.unwrap_or(text.len()));
            (Host::parse(name)?, port)
        };
        let port = match port {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether it is `localhost` or an address, which no name server resolves.
    fn is_unnamed(&self) -> bool {
        match self.host {
            Host::V6(_) => true,
            Host::Named(name) => {
                name.eq_ignore_ascii_case(b"localhost")
                    || str::from_utf8(name).is_ok_and(|name| name.parse::<Ipv4Addr>().is_ok())
            }
        }
    }
}

impl PartialEq for Authority<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same_host = match (&self.host, &other.host) {
            (Host::V6(one), Host::V6(other)) => one == other,
            (Host::Named(one), Host::Named(other)) => one.eq_ignore_ascii_case(other),
            _ => false,
        };
        same_host && self.port.unwrap_or(HTTP_PORT) == other.port.unwrap_or(HTTP_PORT)
    }
}

impl<'a> Host<'a> {
    /// Parses a name, or an address of IP version 4. An empty name is valid in general, and invalid in `http` (RFC 9110, section 4.2.1).
    fn parse(name: &'a [u8]) -> Option<Self> {
        let valid = name.iter().all(|byte| IN_NAMES[usize::from(*byte)]) && is_encoded(name);
        (valid && !name.is_empty()).then_some(Self::Named(name))
    }
}

/// The bytes that a name may contain (RFC 3986, section 3.2.2): unreserved ones, subdelimiters, and `%`.
const IN_NAMES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'%' | b'&'..=b',' | b';' | b'='
            );
        byte += 1;
    }
    allowed
};

/// Whether two hexadecimal digits follow each `%`.
fn is_encoded(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'%').skip(1).all(|rest| {
        let digits = rest.get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        port.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn head(version: Version, target: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_names_its_host_once_as_its_version_demands() {
        let valid = |version, target: &str, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let head = head(version, target, &fields);
            check(&head, &RequestFields::of(&head.headers)).is_ok()
        };
        let (old, one, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);

        for (version, target, hosts, expected) in [
            (old, "/", &[][..], true),
            (old, "/", &["a"], true),
            (old, "/", &["a", "a"], false),
            (one, "/", &[], false),
            (one, "/", &["a"], true),
            (one, "/", &["a", "b"], false),
            (one, "/", &["a", "a"], false),
            (one, "http://a/", &[], false),
            (one, "http://a/", &["b"], true),
            (two, "/", &[], false),
            (two, "/", &["a"], true),
            (two, "http://a/", &[], true),
            (two, "http://a:1/", &["A:1"], true),
            (two, "http://a/", &["b"], false),
        ] {
            assert_eq!(
                valid(version, target, hosts),
                expected,
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for valid in [
            "pitaya",
            "a.b-c_d",
            "A.example:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "a:",
            "%41",
            "999.1.1.1",
            "a:65535",
        ] {
            assert!(Authority::parse(valid.as_bytes()).is_some(), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "u:p@h",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+1",
            "a:-1",
            "::1",
            "[::1",
            "[::1]80",
            "[a]",
            "[127.0.0.1]",
            "[::1%25eth0]",
            "a\\b",
            "a\"b",
            "<a>",
            "a, b",
            "%4",
            "%zz",
            "ä",
        ] {
            assert!(Authority::parse(invalid.as_bytes()).is_none(), "{invalid}");
        }
        assert!(Authority::parse(b"\xff").is_none());
    }

    #[test]
    fn only_requests_that_this_machine_sends_for_itself_are_from_here() {
        let from = |peer: &str, fields: &[(&'static str, &str)]| {
            is_from_here(
                Some(peer.parse().unwrap()),
                &head(Version::HTTP_11, "/", fields),
            )
        };
        let here = |fields: &[(&'static str, &str)]| from("127.0.0.1:1", fields);
        let local = ("host", "localhost:8080");

        for host in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1:8080",
            "10.0.0.1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(here(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "a.localhost",
            "127.0.0.1.nip.io",
        ] {
            assert!(!here(&[("host", host)]), "{host}");
        }
        for (peer, expected) in [
            ("[::1]:1", true),
            ("127.8.9.10:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(from(peer, &[local]), expected, "{peer}");
        }
        assert!(!is_from_here(None, &head(Version::HTTP_11, "/", &[local])));
        assert!(!here(&[]));
        assert!(!here(&[local, local]));
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
            "via",
        ] {
            assert!(!here(&[local, (name, "")]), "{name}");
        }
    }

    #[test]
    fn a_page_is_our_own_where_its_origin_is_the_host() {
        let here = |host: &str, origins: &[&str]| {
            let origins = origins.iter().map(|origin| ("origin", *origin));
            let fields: Vec<_> = [("host", host)].into_iter().chain(origins).collect();
            is_from_here(
                Some("127.0.0.1:1".parse().unwrap()),
                &head(Version::HTTP_11, "/", &fields),
            )
        };

        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("localhost", "http://localhost"),
            ("localhost", "http://localhost:80"),
            ("localhost:80", "http://localhost"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(here(host, &[origin]), "{host} {origin}");
        }
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://evil.example:8080",
            "https://localhost:8080",
            "http://localhost",
            "http://localhost:8081",
            "http://127.0.0.1:8080",
            "http://localhost:8080/",
            "http://a@localhost:8080",
            "localhost:8080",
            "http://localhost:8080 http://evil.example",
        ] {
            assert!(!here("localhost:8080", &[origin]), "{origin}");
        }
        assert!(!here(
            "localhost",
            &["http://localhost", "http://localhost"]
        ));
    }

    #[test]
    fn both_the_target_and_the_host_must_be_here() {
        let from = |version, target: &str, fields: &[(&'static str, &str)]| {
            is_from_here(
                Some("127.0.0.1:1".parse().unwrap()),
                &head(version, target, fields),
            )
        };
        let local = ("host", "localhost");

        assert!(from(Version::HTTP_2, "http://localhost/", &[]));
        assert!(!from(Version::HTTP_2, "http://evil.example/", &[]));
        assert!(from(Version::HTTP_11, "http://localhost/", &[local]));
        assert!(!from(Version::HTTP_11, "http://evil.example/", &[local]));
        assert!(!from(
            Version::HTTP_11,
            "http://localhost/",
            &[("host", "evil.example")]
        ));
    }
}
