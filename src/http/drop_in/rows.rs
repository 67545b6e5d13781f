//! Writes an answer in the vendor's envelope.

use std::convert::Infallible;
use std::io::Write;
use std::iter;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use serde_json::value::RawValue;

use crate::domain::query::Query;
use crate::domain::site::SiteId;
use crate::domain::table::Row;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::watched_body::WatchedBody;
use crate::service::{Answer, VendorSite};

/// Length at which a piece ends, in bytes.
const PIECE: usize = 64 * 1024;

/// An answer in the vendor's envelope, which is written piece by piece.
pub(super) struct Document {
    answer: Answer,
    opening: Vec<u8>,
    closing: Vec<u8>,
    /// The text that each site's rows have before their figures, and after them up to the time.
    sites: Vec<[Vec<u8>; 2]>,
    /// The row to write next, or `None` after the end.
    place: Option<usize>,
    is_first: bool,
}

impl Document {
    /// The answer to `query`, with the config as it was sent; `vendor_site` returns the vendor's name of a site.
    pub(super) fn new(
        query: &Query,
        config: &RawValue,
        answer: Answer,
        vendor_site: impl Fn(SiteId) -> VendorSite,
    ) -> Self {
        let mut parts_combined = false;
        let sites = answer.sites.iter().map(|info| {
            let site = vendor_site(info.site);
            parts_combined |= site.is_in_parts;
            let name = site.name.as_ref().or(info.name.as_ref());
            let mut before = b"{".to_vec();
            if let Some(entity) = site.entity {
                put(
                    &mut before,
                    format_args!("\"entity_id\":{},", json!(entity)),
                );
            }
            let mut after = Vec::new();
            if let Some(name) = name.map(|name| json!(name)) {
                let text = format_args!("\"region_names\":[{name}],\"site_name\":{name},");
                put(&mut after, text);
            }
            [before, after]
        });
        let sites = sites.collect();
        debug_assert_eq!(query.sites.len(), answer.sites.len());
        let opening = format!(
            "{{\"data\":{{\"Config\":{config},\"InsightResponse\":{{\"cached_data_ratio\":{},\"computed_at\":{},\"data\":[",
            answer.cells.cached_ratio(),
            answer.as_of.as_duration().as_secs_f64(),
        );
        let closing = format!(
            "],\"is_data_truncated\":false,\"metadata\":{{\"pitaya\":{{\"parts_combined\":{parts_combined}}}}},\
             \"site_mapping\":{{}},\"status\":\"success\",\"total_count\":{{}}}}}},\"success\":true}}"
        );
        Self {
            answer,
            opening: opening.into_bytes(),
            closing: closing.into_bytes(),
            sites,
            place: Some(0),
            is_first: true,
        }
    }

    /// The whole answer if it is short, otherwise one that is written while it is sent.
    pub(super) fn into_body(mut self, context: &HandlerContext) -> Body {
        let Some(first) = self.next() else {
            return Body::empty();
        };
        if self.place.is_none() {
            return Body::from(first);
        }
        let pieces = iter::once(first).chain(self);
        let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(stream::iter(frames));
        Body::new(WatchedBody::new(body, context))
    }

    fn put_row(&self, out: &mut Vec<u8>, row: Row<'_>) {
        let table = &self.answer.table;
        let [before, after] = &self.sites[row.group];
        out.extend_from_slice(before);
        for (metric, figure) in table.metrics().iter().zip(row.values()) {
            // It is unknown whether the vendor omits a missing figure or sends null.
            if let Some(figure) = figure {
                put(out, format_args!("\"{metric}\":{figure},"));
            }
        }
        out.extend_from_slice(after);
        let time = table.times()[row.time];
        put(
            out,
            format_args!("\"time\":\"{} {:.0}\"}}", time.date(), time.time()),
        );
    }
}

impl Iterator for Document {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let place = self.place.take()?;
        let mut out = std::mem::take(&mut self.opening);
        for row in self.answer.table.rows_from(place) {
            if out.len() >= PIECE {
                self.place = Some(row.place);
                return Some(out);
            }
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            self.put_row(&mut out, row);
        }
        out.append(&mut self.closing);
        Some(out)
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes every byte");
}
