//! Content codings: the choice of one for a caller, and the encoders.

use std::io::Write;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderMap};

use super::quality::{Weight, members};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
    /// Unchanged bytes.
    Identity,
}

/// Minimum length of a body to encode; a shorter one fits into a packet anyway.
const MIN_LENGTH: usize = 860;

impl Coding {
    /// Every coding, the preferred one first.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Identity];

    /// The value of `Content-Encoding`; `None` for unchanged bytes.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        // RFC 9110, section 8.4.1.3.
        let old = is("x-gzip").then_some(Self::Gzip);
        let mut all = Self::ALL.into_iter();
        old.or_else(|| all.find(|coding| is(coding.name().unwrap_or("identity"))))
    }
}

/// The codings that a caller accepts (RFC 9110, section 12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codings {
    /// Weights by [`Coding`].
    weights: [Weight; Coding::ALL.len()],
}

impl Codings {
    /// Reads `Accept-Encoding`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut said: [Option<Weight>; Coding::ALL.len()] = Default::default();
        let mut others = None;
        for (name, weight) in members(headers, ACCEPT_ENCODING) {
            match Coding::from_name(name) {
                Some(coding) => said[coding as usize] = Some(weight),
                None if name == "*" => others = Some(weight),
                None => {}
            }
        }
        // Plain bytes are acceptable unless refused, but any named coding takes precedence.
        let unsaid = |coding| Weight::from(coding == Coding::Identity);
        let weight = |coding| said[coding as usize].or(others).unwrap_or(unsaid(coding));
        Self {
            weights: Coding::ALL.map(weight),
        }
    }

    /// Whether the caller takes unchanged bytes.
    #[must_use]
    pub fn admit_identity(self) -> bool {
        self.weights[Coding::Identity as usize] > 0
    }

    /// The coding for a body of `length` bytes; `None` if the caller refuses all of ours.
    #[must_use]
    pub fn choose(self, length: usize) -> Option<Coding> {
        let weight = |coding: Coding| self.weights[coding as usize];
        if length < MIN_LENGTH && weight(Coding::Identity) > 0 {
            return Some(Coding::Identity);
        }
        // `max_by_key` returns the last of several equal members.
        let best = Coding::ALL
            .into_iter()
            .rev()
            .max_by_key(|coding| weight(*coding));
        best.filter(|coding| weight(*coding) > 0)
    }
}

const ZSTD_LEVEL: i32 = 3;
/// Higher qualities cost ten times as much for a few per cent.
const BROTLI_QUALITY: i32 = 4;
/// 256 KiB. Larger windows do not compress rows better, and the encoder's memory and delay grow with its window.
const BROTLI_WINDOW: i32 = 18;
const GZIP_LEVEL: u32 = 5;

/// Encodes the `plain` bytes.
#[must_use]
pub fn encode(coding: Coding, plain: &Bytes) -> Bytes {
    let Some(mut encoder) = Encoder::new(coding, plain.len()) else {
        return plain.clone();
    };
    encoder.write(plain);
    // The cache weighs a body by its length, so it must not have spare capacity.
    encoder.finish().into_boxed_slice().into()
}

/// An encoder of a body.
pub(super) enum Encoder {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

/// The reason why no encoder fails: it reads and writes only memory.
const IN_MEMORY: &str = "compressing from memory to memory cannot fail";

impl Encoder {
    /// Creates an encoder for a body of exactly `length` bytes; `None` if the coding leaves bytes unchanged.
    pub(super) fn new(coding: Coding, length: usize) -> Option<Self> {
        Some(match coding {
            Coding::Identity => return None,
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).expect(IN_MEMORY);
                // The encoder also writes the length into the frame's header, for decoders that want to know their memory in advance.
                let length = u64::try_from(length).ok();
                encoder.set_pledged_src_size(length).expect(IN_MEMORY);
                Self::Zstd(encoder)
            }
            Coding::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    size_hint: length,
                    ..Default::default()
                };
                let encoder = brotli::CompressorWriter::with_params(Vec::new(), 0, &params);
                Self::Brotli(Box::new(encoder))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
        })
    }

    /// Encodes more of the plain bytes.
    pub(super) fn write(&mut self, plain: &[u8]) {
        let writer: &mut dyn Write = match self {
            Self::Zstd(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        };
        writer.write_all(plain).expect(IN_MEMORY);
    }

    /// The encoded bytes that the caller has not taken yet.
    pub(super) fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the body, and returns the remaining bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        };
        rest.expect(IN_MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::testing::decoded;
    use super::*;

    fn chosen(accept: &'static str, length: usize) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        Codings::of(&headers).choose(length)
    }

    #[test]
    fn the_coding_that_the_caller_prefers_is_chosen() {
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("GZIP", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("zstd;q=0, *", Some(Coding::Brotli)),
            ("*", Some(Coding::Zstd)),
            ("deflate", Some(Coding::Identity)),
            ("", Some(Coding::Identity)),
            ("gzip, identity", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", Some(Coding::Identity)),
            ("gzip;q=0", Some(Coding::Identity)),
            ("gzip;q=0.001", Some(Coding::Gzip)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("*;q=0, br", Some(Coding::Brotli)),
        ] {
            assert_eq!(chosen(accept, 10_000), expected, "{accept}");
        }
        assert_eq!(
            Codings::of(&HeaderMap::new()).choose(10_000),
            Some(Coding::Identity)
        );
    }

    #[test]
    fn short_bodies_stay_plain_unless_the_caller_refuses_plain() {
        assert_eq!(chosen("gzip", 100), Some(Coding::Identity));
        assert_eq!(chosen("gzip, identity;q=0", 100), Some(Coding::Gzip));
    }

    #[test]
    fn unchanged_bytes_are_admitted_unless_refused() {
        for (accept, expected) in [
            ("", true),
            ("gzip", true),
            ("identity;q=0.1", true),
            ("gzip, identity;q=0", false),
            ("*;q=0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));

            assert_eq!(Codings::of(&headers).admit_identity(), expected, "{accept}");
        }
    }

    #[test]
    fn every_coding_decodes_to_the_same_bytes() {
        let plain = Bytes::from("{\"site_id\":750,\"entrances\":77},".repeat(1000));

        for coding in Coding::ALL {
            let encoded = encode(coding, &plain);

            assert_eq!(decoded(coding, &encoded), plain, "{coding:?}");
        }
    }

    #[test]
    fn encoded_bytes_have_no_spare_capacity() {
        // Hardly compressible, so that the encoder grows its buffer several times.
        let figures = (0..20_000_u64).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let plain: Bytes = figures.flat_map(u64::to_le_bytes).collect();

        for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip] {
            let held = Vec::from(encode(coding, &plain));

            assert_eq!(held.capacity(), held.len(), "{coding:?}");
        }
    }
}
