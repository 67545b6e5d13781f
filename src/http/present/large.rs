//! Writes large bodies while the connection sends them, so that memory never contains more than a piece.
//!
//! 200,000 rows are 43 MB of JSON. Rendering writes every body in pieces of 64 KiB into its entity tag, which also determines its
//! length; it collects a body of up to 1 MiB meanwhile, and keeps it. It writes a longer one again as its connection takes it, from
//! the same rows with the same writer (`http::present::layout`), so tag and bytes do not depend on the way. The thread's other
//! connections run after each piece. Memory depends on the table of figures, not on the text: the peak of the largest answer is
//! 14 MB above the rest in every format, of which the table is 12.6 (18 MB in Brotli with a window of 256 KiB; with 4 MiB the encoder
//! alone would use 20, for the same ratio). The price: Pitaya rolls up and writes a repeated query again, in about 5 ms for each MiB
//! of JSON.

use std::sync::Arc;

use bytes::Bytes;

use super::coding::{Coding, Encoder};
use super::layout::Layout;
use crate::service::Answer;

/// A body too large to keep: its answer and its layout.
pub struct Large {
    pub(super) answer: Answer,
    pub(super) layout: Layout,
    /// Number of bytes before any content coding.
    pub(super) length: usize,
    /// Length of a piece, in bytes.
    pub(super) piece: usize,
}

impl Large {
    /// Number of bytes before any content coding.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Its bytes in a coding, made piece by piece on request.
    #[must_use]
    pub fn pieces(self: Arc<Self>, coding: Coding) -> Pieces {
        let encoder = Encoder::new(coding, self.length);
        Pieces {
            next: Some(0),
            plain: self.layout.opening.clone(),
            large: self,
            encoder,
        }
    }
}

/// The bytes of a [`Large`] body, in order.
///
/// Each piece takes a bounded time to make. It is empty if the coding has consumed the bytes without output so far.
pub struct Pieces {
    large: Arc<Large>,
    /// The place of the next row to write; `None` after the last one.
    next: Option<usize>,
    /// Plain bytes that are not part of a piece yet.
    plain: Vec<u8>,
    encoder: Option<Encoder>,
}

/// Room for the end of a piece's last row, which may exceed the length of a piece.
const ROOM_FOR_A_ROW: usize = 1024;
/// Least number of encoded bytes for a piece; fewer bytes wait for more.
const WORTH_SENDING: usize = 16 * 1024;

impl Pieces {
    /// Whether there are no more pieces.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.next.is_none()
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let Large {
            answer,
            layout,
            piece,
            ..
        } = &*self.large;
        self.next = layout.write_rows(&answer.table, self.next?, &mut self.plain, *piece);
        let ended = self.next.is_none();
        let Some(encoder) = &mut self.encoder else {
            let room = if ended { 0 } else { piece + ROOM_FOR_A_ROW };
            let written = std::mem::replace(&mut self.plain, Vec::with_capacity(room));
            return Some(written.into());
        };
        encoder.write(&self.plain);
        self.plain.clear();
        if ended {
            return self.encoder.take().map(|encoder| encoder.finish().into());
        }
        let ready = encoder.ready();
        if ready.len() < WORTH_SENDING {
            return Some(Bytes::new());
        }
        Some(std::mem::take(ready).into())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::format::Format;
    use super::super::render::{Sizes, render_in};
    use super::super::rendering::RenderedBody;
    use super::super::testing::{answer, decoded, describe, plain, query};
    use super::*;
    use crate::domain::metric::Metric;
    use crate::domain::table::{Group, Table};

    const METRICS: [Metric; 3] = [Metric::Entrances, Metric::DwellTime, Metric::CaptureRate];

    /// Answers for one to three sites, or for all of them combined, with any subset of their rows shown.
    fn answers() -> impl Strategy<Value = Answer> {
        let figure = prop_oneof![
            2 => Just(f64::NAN),
            2 => (0_u16..2000).prop_map(f64::from),
            2 => 0.0..2000.0,
            1 => 0.0..f64::MAX,
        ];
        let row = (any::<bool>(), prop::array::uniform3(figure));
        let name = prop::option::of("[a-z\"\\\\,=\\r\\n]{0,8}");
        let shape = (prop::collection::vec(name, 1..4), 0_i8..14, any::<bool>());
        shape.prop_flat_map(move |(names, hours, combined)| {
            let sites: Vec<_> = (750..)
                .zip(&names)
                .map(|(id, name)| (id, name.as_deref()))
                .collect();
            let mut base = answer(&sites, hours, METRICS.to_vec());
            if combined {
                let times = base.table.times().to_vec();
                base.table = Table::new(vec![Group::All], times, METRICS.to_vec());
            }
            let (groups, times) = (base.table.groups().len(), base.table.times().len());
            prop::collection::vec(row.clone(), groups * times).prop_map(move |rows| {
                let mut answer = base.clone();
                for (place, (shown, figures)) in rows.into_iter().enumerate() {
                    let (group, time) = (place / times, place % times);
                    answer.table.row_mut(group, time).copy_from_slice(&figures);
                    if !shown {
                        answer.table.show(group, time, false);
                    }
                }
                answer
            })
        })
    }

    proptest! {
        #[test]
        fn a_body_and_its_tag_do_not_depend_on_the_pieces(
            answer in answers(),
            format in select(&[Format::Json, Format::Csv, Format::Ndjson][..]),
            coding in select(&Coding::ALL[..]),
            piece in 0_usize..3000,
            limit in 0_usize..3000,
        ) {
            let rendered = |sizes| render_in(sizes, &query(), answer.clone(), plain(format), describe);
            let uncut = rendered(Sizes { piece: usize::MAX / 2, whole: usize::MAX });
            let RenderedBody::Whole(expected) = uncut.body else {
                panic!("nothing is longer than {}", usize::MAX);
            };

            let cut = rendered(Sizes { piece, whole: limit });

            prop_assert_eq!(cut.etag, uncut.etag);
            match cut.body {
                RenderedBody::Whole(bytes) => {
                    prop_assert!(bytes.len() <= limit);
                    prop_assert_eq!(bytes, expected);
                }
                RenderedBody::Large(large) => {
                    prop_assert!(expected.len() > limit);
                    prop_assert_eq!(large.length(), expected.len());
                    let sent: Vec<u8> = large.pieces(coding).flatten().collect();
                    prop_assert_eq!(decoded(coding, &sent), expected);
                }
            }
        }
    }

    #[test]
    fn a_piece_has_the_requested_length_and_the_rest_of_a_row() {
        let mut answer = answer(&[(750, Some("Tyler"))], 0, vec![Metric::Entrances]);
        let first = date(2026, 2, 18).at(0, 0, 0, 0);
        let times = first
            .series(jiff::Span::new().minutes(5))
            .take(1000)
            .collect();
        answer.table = Table::new(
            answer.table.groups().to_vec(),
            times,
            vec![Metric::Entrances],
        );
        let sizes = Sizes {
            piece: 4096,
            whole: 0,
        };
        let RenderedBody::Large(large) =
            render_in(sizes, &query(), answer, plain(Format::Ndjson), describe).body
        else {
            panic!("it is longer than nothing");
        };

        let pieces: Vec<_> = large.pieces(Coding::Identity).collect();

        let (_, all_but_last) = pieces.split_last().unwrap();
        assert!(all_but_last.len() > 10);
        assert!(
            all_but_last
                .iter()
                .all(|piece| (4096..4096 + 100).contains(&piece.len()))
        );
        assert!(pieces.iter().all(|piece| piece.ends_with(b"\n")));
    }
}
