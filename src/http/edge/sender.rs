//! The sender of a request, for the access log: its address, and the program that it says it is.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Longest part of a user agent that is logged, in bytes.
const MAX_USER_AGENT: usize = 256;

/// Where a request came from.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// Address of the peer, or the address that a trusted proxy reports; `None` in tests without a connection.
    pub(super) address: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
}

impl Sender {
    /// The sender of a request with those fields, on a connection from `peer`.
    pub(super) fn of(
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
        user_agent: Option<&HeaderValue>,
        trusted: &[IpNet],
    ) -> Self {
        Self {
            address: peer.map(|peer| origin(peer.ip().to_canonical(), headers, trusted)),
            user_agent: user_agent.cloned(),
        }
    }

    /// The start of the user agent, as text.
    pub(super) fn user_agent(&self) -> Option<Cow<'_, str>> {
        let bytes = self.user_agent.as_ref()?.as_bytes();
        let start = &bytes[..bytes.len().min(MAX_USER_AGENT)];
        Some(String::from_utf8_lossy(start))
    }
}

/// Shows an address as the standard library does, but writes an IPv4 address in one piece. A log line escapes each piece by itself, so
/// seven pieces were a fiftieth of a hit's instructions.
pub(super) struct Shown(pub(super) IpAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpAddr::V4(address) = self.0 else {
            return self.0.fmt(f);
        };
        let mut text = [0; "255.255.255.255".len()];
        let mut length = 0;
        let mut digits = itoa::Buffer::new();
        for octet in address.octets() {
            if length > 0 {
                text[length] = b'.';
                length += 1;
            }
            let digits = digits.format(octet).as_bytes();
            text[length..][..digits.len()].copy_from_slice(digits);
            length += digits.len();
        }
        f.write_str(str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
    }
}

/// The nearest address that does not belong to a trusted proxy.
///
/// Each proxy appends the address of its own peer to `X-Forwarded-For`, so the last address is only as good as the proxy that the
/// connection comes from, and each address before it only as good as the one after it.
fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    if trusted.is_empty() {
        return nearest;
    }
    let claims = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut claims = claims.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
    while trusted.iter().any(|network| network.contains(&nearest)) {
        match claims.next().and_then(address) {
            Some(before) => nearest = before,
            None => break,
        }
    }
    nearest
}

/// An address, which some proxies write with the port of the connection.
fn address(claim: &[u8]) -> Option<IpAddr> {
    let claim = str::from_utf8(claim).ok()?.trim();
    let bracketed = || claim.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let plain = claim.parse().ok();
    let with_port = || claim.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = plain.or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, trusted: &[&str], claims: &[&str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for claim in claims {
            headers.append(X_FORWARDED_FOR, claim.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let sender = Sender::of(Some(peer), &headers, None, &trusted);
        sender.address.unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        let trusted = &["10.0.0.0/8", "fd00::/8"][..];
        for (peer, claims, origin) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            // A caller can write anything before what the proxy appends.
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (
                "10.0.0.1",
                &["203.0.113.9", "10.0.0.3,10.0.0.2"],
                "203.0.113.9",
            ),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, "], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, what, 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(from(peer, trusted, claims), origin, "{peer} {claims:?}");
        }
        assert_eq!(from("10.0.0.1", &[], &["203.0.113.9"]), "10.0.0.1");
    }

    #[test]
    fn addresses_are_shown_as_the_standard_library_shows_them() {
        for address in [
            "0.0.0.0",
            "10.2.33.4",
            "255.255.255.255",
            "2001:db8::7",
            "::",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Shown(address).to_string(), address.to_string());
        }
    }

    #[test]
    fn a_long_or_foreign_user_agent_is_shown_in_part() {
        let agent = |bytes: &[u8]| {
            let agent = HeaderValue::from_bytes(bytes).unwrap();
            let sender = Sender::of(None, &HeaderMap::new(), Some(&agent), &[]);
            sender.user_agent().unwrap().into_owned()
        };

        assert_eq!(agent(b"curl/8"), "curl/8");
        assert_eq!(agent(&[b'a'; 1000]), "a".repeat(MAX_USER_AGENT));
        assert_eq!(agent(b"a\xffb"), "a\u{fffd}b");
        let silent = Sender::of(None, &HeaderMap::new(), None, &[]);
        assert_eq!(silent.user_agent(), None);
    }
}
