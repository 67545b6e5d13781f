//! Decoding of an answer's body (RFC 9110, section 8.4), piece by piece.

use std::io::{self, Write as _};

use bytes::{Buf, Bytes};
use flate2::write::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

/// The codings that we offer to the vendor.
pub(super) const OFFERED: &str = "gzip, zstd";

/// At most one within another; every further one multiplies the size that a few bytes can expand to.
const MOST_CODINGS: usize = 2;
/// RFC 9659: windows of more than 8 MB are not allowed in HTTP.
const WINDOW_LOG: u32 = 23;
const ZSTD_PIECE: usize = 64 * 1024;

/// The codings of one body.
#[derive(Default)]
pub(super) struct Codings {
    /// From the outermost to the innermost.
    stages: Vec<Stage>,
}

/// The result of one step.
pub(super) enum Step {
    /// Decoded bytes, at least one.
    Piece(Bytes),
    /// No bytes yet; there is more work to do.
    Nothing,
    /// No bytes until there is more input.
    Hungry,
    /// The body is complete and decoded to its end.
    End,
}

/// Why a body can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// It ends in the middle of its coding.
    Cut,
    /// It violates its coding.
    Corrupt,
    /// We did not offer this coding, or this many at once.
    Unknown,
    /// It decodes to more bytes than allowed.
    TooLarge,
}

impl Codings {
    /// Reads the codings in `headers`. Their names ignore case, `x-gzip` is `gzip`, and the list may span several lines.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Undecodable> {
        let mut stages = Vec::new();
        for line in headers.get_all(CONTENT_ENCODING) {
            let line = line.to_str().map_err(|_| Undecodable::Unknown)?;
            for name in line.split(',').map(|name| name.trim_matches([' ', '\t'])) {
                let coding = match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip(Box::default()),
                    "zstd" => Coding::Zstd(Zstd::new()?),
                    _ => return Err(Undecodable::Unknown),
                };
                stages.push(Stage::new(coding));
            }
        }
        if stages.len() > MOST_CODINGS {
            return Err(Undecodable::Unknown);
        }
        stages.reverse();
        Ok(Self { stages })
    }

    /// Whether the body has no coding.
    pub(super) fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// Takes more of the body, after [`Step::Hungry`]; `None` is its end.
    pub(super) fn feed(&mut self, encoded: Option<Bytes>) {
        if let Some(outermost) = self.stages.first_mut() {
            outermost.feed(encoded);
        }
    }

    /// Decodes a little, so that no piece is large and other tasks get their turn. No coding may produce more than `max_bytes`.
    pub(super) fn step(&mut self, max_bytes: u64) -> Result<Step, Undecodable> {
        step(&mut self.stages, max_bytes)
    }
}

fn step(stages: &mut [Stage], max_bytes: u64) -> Result<Step, Undecodable> {
    let Some((stage, outer)) = stages.split_last_mut() else {
        return Ok(Step::Hungry);
    };
    if let Some(piece) = stage.step()? {
        stage.decoded = stage.decoded.saturating_add(piece.len() as u64);
        if stage.decoded > max_bytes {
            return Err(Undecodable::TooLarge);
        }
        return Ok(if piece.is_empty() {
            Step::Nothing
        } else {
            Step::Piece(piece)
        });
    }
    if stage.ended {
        return Ok(Step::End);
    }
    match step(outer, max_bytes)? {
        Step::Piece(piece) => stage.feed(Some(piece)),
        Step::End => stage.feed(None),
        Step::Nothing => {}
        Step::Hungry => return Ok(Step::Hungry),
    }
    Ok(Step::Nothing)
}

struct Stage {
    coding: Coding,
    input: Bytes,
    /// Whether `input` is the last.
    ended: bool,
    /// Whether the decoder knows that.
    finished: bool,
    decoded: u64,
}

enum Coding {
    Gzip(Box<Gzip>),
    Zstd(Zstd),
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self {
            coding,
            input: Bytes::new(),
            ended: false,
            finished: false,
            decoded: 0,
        }
    }

    fn feed(&mut self, encoded: Option<Bytes>) {
        match encoded {
            Some(encoded) => self.input = encoded,
            None => self.ended = true,
        }
    }

    /// Decodes the next piece of the input; `None` if it yields no more.
    fn step(&mut self) -> Result<Option<Bytes>, Undecodable> {
        let has_more = match &self.coding {
            Coding::Gzip(_) => false,
            Coding::Zstd(zstd) => zstd.has_more,
        };
        if !self.input.is_empty() || has_more {
            return Ok(Some(match &mut self.coding {
                Coding::Gzip(gzip) => gzip.step(&mut self.input)?,
                Coding::Zstd(zstd) => zstd.step(&mut self.input)?,
            }));
        }
        if self.ended && !self.finished {
            self.finished = true;
            return Ok(Some(match &mut self.coding {
                Coding::Gzip(gzip) => gzip.finish()?,
                Coding::Zstd(zstd) => zstd.finish()?,
            }));
        }
        Ok(None)
    }
}

/// A series of members (RFC 1952, section 2.2), possibly followed by zeros, with which some writers fill up their blocks.
#[derive(Default)]
struct Gzip {
    /// The current member.
    member: Option<GzDecoder<Vec<u8>>>,
    has_members: bool,
    is_padded: bool,
}

impl Gzip {
    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, Undecodable> {
        if self.member.is_none() && self.has_members {
            let zeros = input.iter().take_while(|byte| **byte == 0).count();
            input.advance(zeros);
            self.is_padded |= zeros > 0;
            if input.is_empty() {
                return Ok(Bytes::new());
            }
            if self.is_padded {
                return Err(Undecodable::Corrupt);
            }
        }
        let member = self
            .member
            .get_or_insert_with(|| GzDecoder::new(Vec::new()));
        let taken = member.write(input).map_err(corrupt)?;
        if taken == 0 {
            return self.finish();
        }
        input.advance(taken);
        Ok(std::mem::take(member.get_mut()).into())
    }

    /// Ends the member, and checks its length and checksum.
    fn finish(&mut self) -> Result<Bytes, Undecodable> {
        let Some(member) = self.member.take() else {
            return if self.has_members {
                Ok(Bytes::new())
            } else {
                Err(Undecodable::Cut)
            };
        };
        self.has_members = true;
        Ok(member.finish().map_err(corrupt)?.into())
    }
}

/// A series of frames (RFC 8878, section 3).
struct Zstd {
    decoder: ZstdDecoder<'static>,
    buffer: Vec<u8>,
    /// Whether there may be more output without more input.
    has_more: bool,
    in_a_frame: bool,
    has_frames: bool,
}

impl Zstd {
    fn new() -> Result<Self, Undecodable> {
        let mut decoder = ZstdDecoder::new().map_err(corrupt)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .map_err(corrupt)?;
        Ok(Self {
            decoder,
            buffer: vec![0; ZSTD_PIECE],
            has_more: false,
            in_a_frame: false,
            has_frames: false,
        })
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, Undecodable> {
        let status = self.decoder.run_on_buffers(input, &mut self.buffer);
        let status = status.map_err(corrupt)?;
        input.advance(status.bytes_read);
        self.in_a_frame = status.remaining > 0;
        self.has_frames = true;
        self.has_more = self.in_a_frame && status.bytes_written == self.buffer.len();
        Ok(Bytes::copy_from_slice(&self.buffer[..status.bytes_written]))
    }

    fn finish(&mut self) -> Result<Bytes, Undecodable> {
        if self.in_a_frame || !self.has_frames {
            return Err(Undecodable::Cut);
        }
        Ok(Bytes::new())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn corrupt(error: io::Error) -> Undecodable {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Undecodable::Cut
    } else {
        Undecodable::Corrupt
    }
}
