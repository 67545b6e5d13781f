//! Writes the report's answer byte by byte, in the vendor's shape and order of fields.

use std::fmt;
use std::io::Write;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::fault::{MARKER, RowFault};
use super::quirks::{ComputedAt, Mapping, Quirks, Respelt};
use super::request::Call;
use super::rows::{MAX_REGIONS, ReportRow, rows};
use super::sites::{Site, entity_id, filter_id};
use super::view::View;
use crate::domain::metric::VendorMetric;

/// Changes that faults make to an otherwise whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edits {
    /// `success` is false.
    pub unsuccessful: bool,
    /// `status` is not success.
    pub error_status: bool,
    /// Maximum number of rows; a longer answer is cut to it and reports truncation.
    pub max_rows: Option<usize>,
    /// The answer reports truncation, regardless of its rows.
    pub truncated: bool,
    /// The last row is malformed.
    pub row: Option<RowFault>,
}

/// The body of the answer to `call`.
pub(super) fn render(view: &View, call: &Call, edits: Edits) -> Vec<u8> {
    let quirks = &view.quirks;
    let sites: Vec<Site> = call.request.sites.iter().map(|id| view.site(*id)).collect();
    let mut rows = rows(view, &call.request, &sites, &call.window);
    let cut = edits.max_rows.filter(|max| *max < rows.len());
    rows.truncate(cut.unwrap_or(usize::MAX));
    if edits.row.is_some() && rows.is_empty() {
        rows.push(ReportRow {
            site: 0,
            part: 0,
            date: call.request.dates.from(),
            minute: 0,
            figures: [Some(0.0); VendorMetric::ALL.len()],
            metric: None,
            respelt: false,
        });
    }

    let mut out = Vec::with_capacity(rows.len() * 220 + 1024);
    out.extend_from_slice(b"{\"data\":{\"Config\":");
    put(&mut out, &json!(call.config));
    out.extend_from_slice(b",\"InsightResponse\":{\"cached_data_ratio\":1");
    let age = match quirks.computed_at {
        ComputedAt::Now => Some(0.0),
        ComputedAt::Ago(age) => Some(age.as_secs_f64()),
        ComputedAt::Absent => None,
    };
    if let Some(age) = age {
        let computed_at = view.now.as_duration().as_secs_f64() - age;
        out.extend_from_slice(b",\"computed_at\":");
        put(&mut out, &json!(computed_at));
    }
    out.extend_from_slice(b",\"data\":[");
    RowWriter::new(view, call, &sites).write(&mut out, &rows, edits.row);
    out.extend_from_slice(b"],\"is_data_truncated\":");
    put(&mut out, &json!(edits.truncated || cut.is_some()));
    if quirks.extra_fields {
        out.extend_from_slice(b",\"license\":{\"data\":[{\"time\":\"never\"}],\"tier\":null}");
    }
    out.extend_from_slice(b",\"metadata\":{},\"site_mapping\":");
    put_mapping(&mut out, quirks, &sites);
    out.extend_from_slice(if edits.error_status {
        b",\"status\":\"error\""
    } else {
        b",\"status\":\"success\""
    });
    out.extend_from_slice(b",\"total_count\":{}}}");
    if edits.unsuccessful || edits.error_status {
        out.extend_from_slice(b",\"message\":");
        put(&mut out, &json!(MARKER));
    }
    out.extend_from_slice(b",\"success\":");
    put(&mut out, &json!(!edits.unsuccessful));
    out.push(b'}');
    out
}

fn put_mapping(out: &mut Vec<u8>, quirks: &Quirks, sites: &[Site]) {
    let by_id = |value: fn(&Site) -> Value| -> Vec<(String, Value)> {
        let entries = sites.iter().map(|site| (site.id.to_string(), value(site)));
        entries.collect()
    };
    let by_entity = || -> Vec<(String, Value)> {
        let parts = if quirks.region_entities {
            quirks.regions.clamp(1, MAX_REGIONS)
        } else {
            1
        };
        let of_site = |site: &Site| {
            let id = site.id;
            let entities = (0..parts).map(move |part| entity_id(id, part).to_string());
            entities.map(move |entity| (entity, json!(id.get())))
        };
        sites.iter().flat_map(of_site).collect()
    };
    let entries = match quirks.mapping {
        Mapping::Names => by_id(|site| json!(site.name)),
        Mapping::NamedObjects => by_id(|site| json!({ "name": site.name })),
        Mapping::Entities => by_entity(),
        Mapping::EntityTexts => by_id(|site| json!(entity_id(site.id, 0).to_string())),
        Mapping::ContraryNames => contrary(by_id(|site| json!(site.name))),
        Mapping::ContraryEntities => contrary(by_entity()),
        Mapping::Empty => Vec::new(),
    };
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, &json!(key));
        out.push(b':');
        put(out, value);
    }
    out.push(b'}');
}

/// The entries, then each key again with the value of the previous key.
fn contrary(mut entries: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut again = entries.clone();
    let keys = entries.iter().map(|(key, _)| key.clone());
    for (entry, key) in again.iter_mut().zip(keys.cycle().skip(1)) {
        entry.0 = key;
    }
    entries.append(&mut again);
    entries
}

/// Writes a JSON value; writing to memory does not fail.
fn put(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// Writes the rows of one report; prepares the text shared by all rows of a region once.
struct RowWriter<'a> {
    quirks: &'a Quirks,
    metrics: Vec<VendorMetric>,
    /// By site, then region.
    regions: Vec<Vec<Region>>,
}

/// Text shared by all rows of a region.
struct Region {
    entity: String,
    filter: String,
    regions: String,
    name: String,
    respelt: Respelt,
    /// `region_names` in another order.
    regions_again: String,
}

impl<'a> RowWriter<'a> {
    fn new(view: &'a View, call: &Call, sites: &[Site]) -> Self {
        let quirks = &view.quirks;
        let regions = sites.iter().map(|site| {
            (0..quirks.regions.clamp(1, MAX_REGIONS))
                .map(|part| Region::of(site, part, quirks))
                .collect()
        });
        Self {
            quirks,
            metrics: call.request.metrics.iter().collect(),
            regions: regions.collect(),
        }
    }

    fn write(&self, out: &mut Vec<u8>, rows: &[ReportRow], fault: Option<RowFault>) {
        let (mut date, mut date_text) = (Date::ZERO, String::new());
        for (index, row) in rows.iter().enumerate() {
            if row.date != date {
                date = row.date;
                date_text = date.to_string();
            }
            if index > 0 {
                out.push(b',');
            }
            let fault = fault.filter(|_| index + 1 == rows.len());
            self.write_row(out, row, &date_text, fault);
        }
    }

    /// Writes one row, with its fields in alphabetical order like the vendor's.
    fn write_row(&self, out: &mut Vec<u8>, row: &ReportRow, date: &str, fault: Option<RowFault>) {
        let Some(region) = self
            .regions
            .get(row.site)
            .and_then(|regions| regions.get(usize::from(row.part)))
        else {
            return;
        };
        out.push(b'{');
        if self.quirks.extra_fields {
            out.extend_from_slice(b"\"confidence\":0.97,");
        }
        let metric = |out: &mut Vec<u8>, metric| self.write_metric(out, row, metric, fault);
        let [entity, filter, regions, name] = region.keys(row.respelt);
        let time_first = row.respelt && self.quirks.respelt == Respelt::FieldOrder;
        if time_first {
            put_time(out, date, row.minute, fault);
            out.extend_from_slice(name.as_bytes());
        }
        metric(out, VendorMetric::DwellTime);
        out.extend_from_slice(entity.as_bytes());
        metric(out, VendorMetric::Entrances);
        out.extend_from_slice(filter.as_bytes());
        metric(out, VendorMetric::Occupancy);
        out.extend_from_slice(regions.as_bytes());
        if !time_first {
            out.extend_from_slice(name.as_bytes());
            put_time(out, date, row.minute, fault);
        }
        metric(out, VendorMetric::Transactions);
        metric(out, VendorMetric::WalkBys);
        if self.quirks.extra_fields {
            out.extend_from_slice(b"\"zone\":{\"time\":[1,{\"entrances\":2}]},");
        }
        // Every field above ends with a comma.
        out.pop();
        out.push(b'}');
    }

    fn write_metric(
        &self,
        out: &mut Vec<u8>,
        row: &ReportRow,
        metric: VendorMetric,
        fault: Option<RowFault>,
    ) {
        if !self.metrics.contains(&metric) {
            return;
        }
        // The metric belongs to another row.
        let apart = row.metric.is_some_and(|only| only != metric);
        let wrong = fault
            .filter(|_| self.metrics.first() == Some(&metric))
            .and_then(RowFault::number);
        let figure = row.figures[metric as usize].filter(|_| !apart);
        if wrong.is_none() && figure.is_none() && self.quirks.omit_nulls {
            return;
        }
        out.push(b'"');
        out.extend_from_slice(metric.name().as_bytes());
        out.extend_from_slice(b"\":");
        match (wrong, figure) {
            (Some(wrong), _) => out.extend_from_slice(wrong.as_bytes()),
            (None, None) => out.extend_from_slice(b"null"),
            (None, Some(figure)) => put_number(out, figure, self.quirks.floats),
        }
        out.push(b',');
    }
}

impl Region {
    fn of(site: &Site, part: u8, quirks: &Quirks) -> Self {
        let text = |text: &str| {
            let quoted = json!(text).to_string();
            if quirks.escapes {
                escape(&quoted)
            } else {
                quoted
            }
        };
        let entity = entity_id(site.id, if quirks.region_entities { part } else { 0 });
        let region = match part {
            0 => site.name.clone(),
            part => format!("{} {}", site.name, part + 1),
        };
        let mut names = vec![text(&region)];
        if quirks.respelt == Respelt::RegionOrder {
            names.push(text("All"));
        }
        let again = names.iter().rev().cloned().collect::<Vec<_>>();
        let regions = |names: &[String]| format!("\"region_names\":[{}],", names.join(","));
        Self {
            entity: format!("\"entity_id\":\"{entity}\","),
            filter: format!("\"filter_id\":\"{}\",", filter_id(site.id, part)),
            regions: regions(&names),
            name: format!("\"site_name\":{},", text(&site.name)),
            regions_again: regions(&again),
            respelt: quirks.respelt,
        }
    }

    /// The fields other than the figures and the time, respelt by the quirk if the row is `respelt`.
    fn keys(&self, respelt: bool) -> [&str; 4] {
        let mut keys = [&self.entity, &self.filter, &self.regions, &self.name].map(String::as_str);
        if respelt {
            match self.respelt {
                Respelt::Nothing | Respelt::FieldOrder => {}
                Respelt::RegionOrder => keys[2] = &self.regions_again,
                Respelt::Regions => keys[2] = "\"region_names\":null,",
                Respelt::Filter => keys[1] = "\"filter_id\":null,",
                Respelt::Name => keys[3] = "\"site_name\":null,",
            }
        }
        keys
    }
}

/// Replaces non-ASCII characters with `\u` escapes, as many JSON writers do.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to memory does not fail.
                let _ = fmt::Write::write_fmt(&mut escaped, format_args!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

fn put_time(out: &mut Vec<u8>, date: &str, minute: u16, fault: Option<RowFault>) {
    out.extend_from_slice(b"\"time\":\"");
    let minute = match fault {
        Some(RowFault::MalformedTime) => {
            out.extend_from_slice(b"yesterday, about noon\",");
            return;
        }
        // Seven minutes past the hour is on no grid.
        Some(RowFault::OffGridTime) => minute - minute % 60 + 7,
        _ => minute,
    };
    out.extend_from_slice(date.as_bytes());
    out.push(b' ');
    put_two_digits(out, minute / 60);
    out.push(b':');
    put_two_digits(out, minute % 60);
    out.extend_from_slice(b":00\",");
}

fn put_two_digits(out: &mut Vec<u8>, number: u16) {
    let digit = |number: u16| b'0' + u8::try_from(number % 10).unwrap_or(0);
    out.extend_from_slice(&[digit(number / 10), digit(number)]);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, not negative, and far below 2^53"
)]
fn put_number(out: &mut Vec<u8>, number: f64, floats: bool) {
    if number.fract() == 0.0 && !floats {
        out.extend_from_slice(itoa::Buffer::new().format(number as u64).as_bytes());
    } else {
        // Writing to memory does not fail.
        let _ = write!(out, "{number:?}");
    }
}
