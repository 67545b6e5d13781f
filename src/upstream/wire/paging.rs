//! Whether the envelope reports more rows, by paging keys or by a count of all rows.
//!
//! Pitaya never requests pages. A key such as `next…`, `has_more`, `page…` or `cursor` at any level of the envelope, or in its
//! `metadata`, means a truncated answer unless it reports that there is no more (`null`, `false`, empty, one page of one). A lone first
//! page is not enough for that. A numeric `total_count` above the number of rows also means a truncated answer.

use serde_json::value::RawValue;

use super::entries::Entries;
use super::value::text;

/// How deep objects with paging keys may be nested.
const MOST_DEEP: usize = 4;

/// The envelope's paging keys.
///
/// A key reports that there is more, that there is no more, or only that there are pages, as a lone `page: 1` does. The last alone is not
/// enough to count an answer as whole. A value of an unknown kind counts as a report that there is more.
#[derive(Debug, Default)]
pub(super) struct Paging {
    more: bool,
    no_more: bool,
    paged: bool,
    /// The largest reported number of all rows.
    total: Option<f64>,
    /// The smallest reported page size in rows.
    size: Option<f64>,
}

/// The subject of a key of the envelope.
#[derive(Clone, Copy)]
enum Key {
    /// The next page: any value but an empty one reports more.
    Next,
    /// Whether there is more.
    HasMore,
    /// The number of this page, or of its first row.
    Page,
    /// The number of pages.
    Pages,
    /// The largest number of rows in a page.
    Size,
    /// The number of all rows.
    Total,
    /// An object of such keys.
    Object,
}

impl Paging {
    /// Whether `name` may be about other pages.
    pub(super) fn concerns(name: &str) -> bool {
        key(name, false).is_some()
    }

    /// Reads `"name": json`.
    pub(super) fn read(&mut self, name: &str, json: &RawValue) {
        self.note(name, json, false, MOST_DEEP);
    }

    /// Whether there are more than `rows`.
    pub(super) fn is_of_more_than(&self, rows: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "no answer has 2^53 rows")]
        let rows = rows as f64;
        let is_whole = self.no_more
            || self.size.is_some_and(|size| rows < size)
            || self.total.is_some_and(|total| rows >= total);
        self.more || self.total.is_some_and(|total| rows < total) || self.paged && !is_whole
    }

    fn note(&mut self, name: &str, json: &RawValue, within: bool, deep: usize) {
        let Some(key) = key(name, within) else {
            return;
        };
        let value = json.get();
        if value.starts_with('{') {
            match (serde_json::from_str(value), deep.checked_sub(1)) {
                // Such as `{"href": …}`.
                (Ok(Entries(entries)), _) if matches!(key, Key::Next | Key::HasMore) => {
                    let said = entries.iter().any(|(_, json)| !says_nothing(json));
                    self.more |= said;
                    self.no_more |= !said;
                }
                (Ok(Entries(entries)), Some(deep)) => {
                    let within = within || !matches!(normal(name).as_str(), "metadata" | "meta");
                    for (name, json) in entries {
                        self.note(&name, json, within, deep);
                    }
                }
                _ => self.more = true,
            }
            return;
        }
        let said = text(json);
        let number: Option<f64> = said.as_deref().and_then(|said| said.parse().ok());
        let nothing = says_nothing(json);
        match (key, number) {
            (Key::Object, _) => {}
            (Key::Next | Key::HasMore, _) if nothing => self.no_more = true,
            (Key::HasMore, Some(0.0)) => self.no_more = true,
            (Key::Next | Key::HasMore, _) => self.more = true,
            _ if nothing => {}
            (Key::Page, Some(page)) if page <= 1.0 => self.paged = true,
            (Key::Pages, Some(pages)) if pages <= 1.0 => self.no_more = true,
            (Key::Page | Key::Pages, _) => self.more = true,
            (Key::Size, Some(size)) => {
                self.paged = true;
                self.size = Some(self.size.map_or(size, |known| known.min(size)));
            }
            (Key::Total, Some(total)) => {
                self.total = Some(self.total.map_or(total, |known| known.max(total)));
            }
            // A number too large for a float, or a text.
            (Key::Size, None) => self.paged = true,
            (Key::Total, None) => self.more |= !value.starts_with(['"', '[', 't']),
        }
    }
}

/// The subject of the key `name`, in an object of paging (`within`) or beside the rows.
fn key(name: &str, within: bool) -> Option<Key> {
    let name = normal(name);
    let key = match name.as_str() {
        "metadata" | "meta" | "links" | "paging" | "pagination" | "pageinfo" => Key::Object,
        "hasmore" | "hasnext" | "hasnextpage" | "hasmorepages" | "more" | "moreavailable"
        | "morepages" => Key::HasMore,
        "page" | "pagenumber" | "pageno" | "pageindex" | "pagenum" | "currentpage" => Key::Page,
        "pages" | "pagecount" | "pagestotal" | "totalpages" | "numpages" | "lastpage" => Key::Pages,
        "pagesize" | "perpage" | "pagelimit" => Key::Size,
        "totalcount" | "totalrows" | "totalrecords" | "totalresults" | "totalitems"
        | "totalelements" => Key::Total,
        "number" | "current" | "offset" | "skip" | "index" if within => Key::Page,
        "size" | "limit" if within => Key::Size,
        "total" if within => Key::Total,
        "after" if within => Key::Next,
        _ if name.contains("cursor") || name.contains("continuation") => Key::Next,
        _ if name.starts_with("next") && !is_of_time(&name) => Key::Next,
        _ if name.starts_with("page") => Key::Next,
        _ => return None,
    };
    Some(key)
}

/// Whether a key that begins with `next` is about a time, such as the next update.
fn is_of_time(name: &str) -> bool {
    [
        "update", "refresh", "comput", "time", "date", "run", "sync", "schedul", "poll",
    ]
    .iter()
    .any(|word| name.contains(word))
        || name.ends_with("at")
}

/// `name` in lower case, without word separators.
fn normal(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-' | ' ' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a value is `null`, `false`, empty, or a text of these.
fn says_nothing(json: &RawValue) -> bool {
    let value = json.get();
    match value.as_bytes()[0] {
        b'"' => matches!(text(json).as_deref(), None | Some("false" | "null")),
        b'[' => value[1..].trim_start().starts_with(']'),
        b'{' => value[1..].trim_start().starts_with('}'),
        _ => matches!(value, "null" | "false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cut(fields: &str, rows: u64) -> bool {
        let mut paging = Paging::default();
        let json = format!("{{{fields}}}");
        let Entries(entries) = serde_json::from_str(&json).unwrap();
        for (name, json) in entries {
            paging.read(&name, json);
        }
        paging.is_of_more_than(rows)
    }

    #[test]
    fn a_key_that_reports_more_is_believed() {
        for fields in [
            r#""next":"https://vendor/next""#,
            r#""next_page":2"#,
            r#""nextPageToken":"x""#,
            r#""next_cursor":0"#,
            r#""cursor":"abc""#,
            r#""cursors":{"after":"abc"}"#,
            r#""end_cursor":7"#,
            r#""has_more":true"#,
            r#""hasMore":1"#,
            r#""has_next_page":"true""#,
            r#""page":2"#,
            r#""page":1,"pages":3"#,
            r#""page":1"#,
            r#""page_token":"x""#,
            r#""total_pages":2"#,
            r#""page_size":20"#,
            r#""pagination":{"page":1,"total_pages":4}"#,
            r#""pagination":{"total":21}"#,
            r#""metadata":{"pagination":{"next":"x"}}"#,
            r#""metadata":{"has_more":true}"#,
            r#""links":{"next":{"href":"x"}}"#,
            r#""page":{"number":0,"size":20,"total_pages":2}"#,
            r#""page":{"offset":20,"limit":50}"#,
            r#""total_count":21"#,
            r#""total_count":"21""#,
            r#""total_count":20.5"#,
            r#""total_count":1e999"#,
            r#""has_more":true,"has_more":false"#,
        ] {
            assert!(is_cut(fields, 20), "{fields}");
        }
    }

    #[test]
    fn a_key_that_reports_no_more_is_believed() {
        for fields in [
            "",
            r#""next":null"#,
            r#""next":"","next_page":false"#,
            r#""next_cursor":null,"cursor":{}"#,
            r#""cursors":{"after":null,"before":""}"#,
            r#""has_more":false"#,
            r#""has_more":0,"page":1"#,
            r#""page":1,"pages":1"#,
            r#""page":0,"total_pages":1"#,
            r#""page":1,"next":null"#,
            r#""page":1,"total_count":20"#,
            r#""page":1,"page_size":100"#,
            r#""pagination":{"page":1,"per_page":100,"total":20,"next":null}"#,
            r#""paging":{}"#,
            r#""links":{"self":"x","last":"x","next":null}"#,
            r#""total_count":20"#,
            r#""total_count":3"#,
            r#""total_count":{}"#,
            r#""total_count":{"entrances":400}"#,
            r#""total_count":null"#,
            r#""metadata":{"total":4000,"size":3,"limit":1,"version":"2"}"#,
            r#""next_update_at":"2026-02-18""#,
        ] {
            assert!(!is_cut(fields, 20), "{fields}");
        }
    }
}
