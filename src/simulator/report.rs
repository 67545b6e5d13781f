//! Writes the report's answer as text, in the vendor's shape and order of fields.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{FaultKind, MARKER, RowFault};
use super::quirks::{ComputedAt, Mapping, Quirks, Respelt};
use super::request::Call;
use super::rows::{MAX_REGIONS, ReportRow, rows};
use super::sites::{Site, entity_id, filter_id};
use super::view::View;
use crate::domain::metric::{MetricSet, VendorMetric};

/// The body of the answer to `call`, with the faults of `hits` that concern it.
pub(super) fn render(view: &View, call: &Call, hits: &[FaultKind]) -> String {
    let quirks = &view.quirks;
    let sites: Vec<Site> = call.request.sites.iter().map(|id| view.site(*id)).collect();
    let mut rows = rows(view, &call.request, &sites, &call.window);
    let most = hits.iter().filter_map(|kind| match kind {
        FaultKind::Truncate { above } => *above,
        _ => None,
    });
    let most = most.min().unwrap_or(usize::MAX);
    let is_truncated = rows.len() > most || hits.contains(&FaultKind::Truncate { above: None });
    rows.truncate(most);
    let fault = hits.iter().find_map(|kind| match kind {
        FaultKind::Row(fault) => Some(*fault),
        _ => None,
    });
    if fault.is_some() && rows.is_empty() {
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

    let config = json!(call.config);
    let age = match quirks.computed_at {
        ComputedAt::Now => Some(Duration::ZERO),
        ComputedAt::Ago(age) => Some(age),
        ComputedAt::Absent => None,
    };
    let computed_at = age.map_or_else(String::new, |age| {
        let at = view.now.as_duration().as_secs_f64() - age.as_secs_f64();
        format!(",\"computed_at\":{at:?}")
    });
    let rows = RowWriter::new(quirks, call, &sites).write(&rows, fault);
    let license = if quirks.extra_fields {
        ",\"license\":{\"data\":[{\"time\":\"never\"}],\"tier\":null}"
    } else {
        ""
    };
    let mapping = mapping(quirks, &sites);
    let is_failed = hits.contains(&FaultKind::ErrorStatus);
    let status = if is_failed { "error" } else { "success" };
    let success = !hits.contains(&FaultKind::Unsuccessful);
    let message = if is_failed || !success {
        format!(",\"message\":\"{MARKER}\"")
    } else {
        String::new()
    };
    format!(
        "{{\"data\":{{\"Config\":{config},\"InsightResponse\":{{\"cached_data_ratio\":1{computed_at},\"data\":[{rows}],\
         \"is_data_truncated\":{is_truncated}{license},\"metadata\":{{}},\"site_mapping\":{{{mapping}}},\
         \"status\":\"{status}\",\"total_count\":{{}}}}}}{message},\"success\":{success}}}"
    )
}

/// The members of `site_mapping`.
fn mapping(quirks: &Quirks, sites: &[Site]) -> String {
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
    let members = entries
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"));
    members.collect::<Vec<_>>().join(",")
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

/// Writes the rows of one report; prepares the text shared by all rows of a region once.
struct RowWriter<'a> {
    quirks: &'a Quirks,
    metrics: MetricSet,
    /// By site, then region.
    regions: Vec<Vec<Region>>,
}

/// The fields that all rows of a region share (`entity_id`, `filter_id`, `region_names`, `site_name`): as usual, then respelt.
type Region = [[String; 4]; 2];

impl<'a> RowWriter<'a> {
    fn new(quirks: &'a Quirks, call: &Call, sites: &[Site]) -> Self {
        let regions = sites.iter().map(|site| {
            (0..quirks.regions.clamp(1, MAX_REGIONS))
                .map(|part| region(site, part, quirks))
                .collect()
        });
        Self {
            quirks,
            metrics: call.request.metrics,
            regions: regions.collect(),
        }
    }

    /// The rows, the last of which has the `fault`.
    fn write(&self, rows: &[ReportRow], fault: Option<RowFault>) -> String {
        let mut out = String::with_capacity(rows.len() * 220);
        for (index, row) in rows.iter().enumerate() {
            self.write_row(&mut out, row, fault.filter(|_| index + 1 == rows.len()));
            out.push(',');
        }
        out.pop();
        out
    }

    /// Writes one row, with its fields in alphabetical order like the vendor's.
    fn write_row(&self, out: &mut String, row: &ReportRow, fault: Option<RowFault>) {
        let metric = |out: &mut String, metric| self.write_metric(out, row, metric, fault);
        let region = &self.regions[row.site][usize::from(row.part)];
        let [entity, filter, regions, name] = &region[usize::from(row.respelt)];
        let time_first = row.respelt && self.quirks.respelt == Respelt::FieldOrder;
        out.push('{');
        if self.quirks.extra_fields {
            out.push_str("\"confidence\":0.97,");
        }
        if time_first {
            put_time(out, row, fault);
            out.push_str(name);
        }
        metric(out, VendorMetric::DwellTime);
        out.push_str(entity);
        metric(out, VendorMetric::Entrances);
        out.push_str(filter);
        metric(out, VendorMetric::Occupancy);
        out.push_str(regions);
        if !time_first {
            out.push_str(name);
            put_time(out, row, fault);
        }
        metric(out, VendorMetric::Transactions);
        metric(out, VendorMetric::WalkBys);
        if self.quirks.extra_fields {
            out.push_str("\"zone\":{\"time\":[1,{\"entrances\":2}]},");
        }
        // Every field above ends with a comma.
        out.pop();
        out.push('}');
    }

    fn write_metric(
        &self,
        out: &mut String,
        row: &ReportRow,
        metric: VendorMetric,
        fault: Option<RowFault>,
    ) {
        if !self.metrics.contains(metric) {
            return;
        }
        // The metric belongs to another row.
        let apart = row.metric.is_some_and(|only| only != metric);
        let wrong = fault
            .filter(|_| self.metrics.iter().next() == Some(metric))
            .and_then(RowFault::number);
        let figure = row.figures[metric as usize].filter(|_| !apart);
        let name = metric.name();
        let written = match (wrong, figure) {
            (Some(wrong), _) => write!(out, "\"{name}\":{wrong},"),
            (None, None) if self.quirks.omit_nulls => Ok(()),
            (None, None) => write!(out, "\"{name}\":null,"),
            // The debug form of a whole number has a fraction.
            (None, Some(figure)) if self.quirks.floats => write!(out, "\"{name}\":{figure:?},"),
            (None, Some(figure)) => write!(out, "\"{name}\":{figure},"),
        };
        written.expect("writing to memory does not fail");
    }
}

fn region(site: &Site, part: u8, quirks: &Quirks) -> Region {
    let text = |text: &str| {
        let quoted = json!(text).to_string();
        if quirks.escapes {
            escape(&quoted)
        } else {
            quoted
        }
    };
    let entity = entity_id(site.id, if quirks.region_entities { part } else { 0 });
    let name = match part {
        0 => site.name.clone(),
        part => format!("{} {}", site.name, part + 1),
    };
    let mut names = vec![text(&name)];
    if quirks.respelt == Respelt::RegionOrder {
        names.push(text("All"));
    }
    let regions = |names: &[String]| format!("\"region_names\":[{}],", names.join(","));
    let usual = [
        format!("\"entity_id\":\"{entity}\","),
        format!("\"filter_id\":\"{}\",", filter_id(site.id, part)),
        regions(&names),
        format!("\"site_name\":{},", text(&site.name)),
    ];
    let mut respelt = usual.clone();
    match quirks.respelt {
        Respelt::Nothing | Respelt::FieldOrder => {}
        Respelt::RegionOrder => {
            names.reverse();
            respelt[2] = regions(&names);
        }
        Respelt::Regions => respelt[2] = "\"region_names\":null,".into(),
        Respelt::Filter => respelt[1] = "\"filter_id\":null,".into(),
        Respelt::Name => respelt[3] = "\"site_name\":null,".into(),
    }
    [usual, respelt]
}

/// Replaces non-ASCII characters with `\u` escapes, as many JSON writers do.
fn escape(json: &str) -> String {
    let units = json.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(ascii) if ascii.is_ascii() => char::from(ascii).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    units.collect()
}

fn put_time(out: &mut String, row: &ReportRow, fault: Option<RowFault>) {
    let (date, hour, minute) = (row.date, row.minute / 60, row.minute % 60);
    let written = match fault {
        Some(RowFault::MalformedTime) => write!(out, "\"time\":\"yesterday, about noon\","),
        // Seven minutes past the hour is on no grid.
        Some(RowFault::OffGridTime) => write!(out, "\"time\":\"{date} {hour:02}:07:00\","),
        _ => write!(out, "\"time\":\"{date} {hour:02}:{minute:02}:00\","),
    };
    written.expect("writing to memory does not fail");
}
