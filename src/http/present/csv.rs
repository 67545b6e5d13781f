//! Rows as CSV (RFC 4180), safe for spreadsheets.

use std::borrow::Cow;

use super::layout::{Layout, Marks, Place, headings, name_of};
use super::notation::Notations;
use super::times::Times;
use crate::domain::table::Group;
use crate::service::{Answer, SiteInfo};

const MARKS: Marks = Marks {
    missing: b"",
    quote: b"",
    object_end: None,
    row_end: b"\r\n",
    between: b"",
};

/// A header row and the rows; each ends with CRLF.
pub(super) fn document(answer: &Answer, notations: Notations) -> Layout {
    let table = &answer.table;
    let mut opening = record(&headings(table));
    opening.extend_from_slice(b"\r\n");

    let groups = table.groups().iter();
    let heads = groups.map(|group| head(group, &answer.sites)).collect();
    let times = match table.profile() {
        Some(_) => Times::of_profile(table, |_| Vec::new(), b","),
        None => Times::new(table.times(), &notations, b"", b","),
    };
    let separator = |place: Place| match place.object {
        None if place.is_first => Vec::new(),
        _ => b",".to_vec(),
    };
    Layout::new(table, MARKS, heads, times, notations, separator).between(opening, Vec::new())
}

/// The start of every row of a series, before its time. Only this part may need quotes: times and figures never do.
fn head(group: &Group, sites: &[SiteInfo]) -> Vec<u8> {
    let mut head = match group {
        Group::All => return Vec::new(),
        Group::Site(site) => {
            let name = harmless(name_of(*site, sites).unwrap_or_default());
            record(&[site.to_string().as_str(), &name])
        }
        // The writer would quote an empty cell that is alone in its record.
        Group::Tag { value: None, .. } => Vec::new(),
        Group::Tag {
            value: Some(value), ..
        } => record(&[harmless(value)]),
    };
    head.push(b',');
    head
}

/// A table of texts: a header row and the rows; each ends with CRLF.
pub(in crate::http) fn csv_table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<u8> {
    let mut table = record(&header);
    for row in rows {
        table.extend_from_slice(b"\r\n");
        table.extend(record(&row.each_ref().map(|cell| harmless(cell))));
    }
    table.extend_from_slice(b"\r\n");
    table
}

/// The cells of a row, quoted if necessary, without the end of the line.
fn record<T: AsRef<str>>(cells: &[T]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let written = writer.write_record(cells.iter().map(|cell| cell.as_ref().as_bytes()));
    let mut bytes = written
        .ok()
        .and_then(|()| writer.into_inner().ok())
        .expect("writing cells into memory cannot fail");
    bytes.truncate(bytes.len().saturating_sub(2));
    bytes
}

/// Changes a text that a spreadsheet might treat as a formula (OWASP, CSV injection).
fn harmless(text: &str) -> Cow<'_, str> {
    if is_formula(text) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a program may treat `text` as a formula. Some skip blank characters at its start, or read full-width operators as plain
/// ones; a tab or a carriage return may end the cell, so that the next one begins after it.
fn is_formula(text: &str) -> bool {
    const OPENING: [char; 10] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];
    let mut chars = text
        .chars()
        .skip_while(|c| is_blank(*c) && !OPENING.contains(c));
    chars.next().is_some_and(|first| OPENING.contains(&first))
}

/// Whether `c` is invisible: white space, a control, or default-ignorable in Unicode.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
                ..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{answer, with_extras, written};
    use super::*;
    use crate::domain::metric::Metric;
    use crate::domain::table::Table;

    fn text(answer: &Answer) -> String {
        written(&document(answer, Notations::local()), answer)
    }

    #[test]
    fn rows_end_with_crlf_and_missing_figures_are_empty() {
        let metrics = vec![Metric::Entrances, Metric::DwellTime];
        let mut answer = answer(&[(750, Some("Tyler")), (751, None)], 1, metrics);
        answer.table.row_mut(0, 0).copy_from_slice(&[77.0, 12.25]);

        assert_eq!(
            text(&answer),
            "site_id,site_name,time,entrances,dwell_time\r\n\
             750,Tyler,2026-02-18T09:00:00,77,12.25\r\n\
             751,,2026-02-18T09:00:00,,\r\n"
        );
    }

    #[test]
    fn all_sites_combined_have_no_site_columns() {
        let mut answer = answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        let times = answer.table.times().to_vec();
        answer.table = Table::new(vec![Group::All], times, vec![Metric::Entrances]);

        assert_eq!(text(&answer), "time,entrances\r\n2026-02-18T09:00:00,\r\n");
    }

    #[test]
    fn extra_columns_have_flat_names() {
        let answer = with_extras();

        assert_eq!(
            text(&answer),
            "site_id,site_name,time,entrances,days,previous_time,entrances_previous,entrances_change,state,clipped,previous_coverage\r\n\
             750,Tyler,2026-02-18T09:00:00,77,4,2026-02-11T09:00:00,80,-0.0375,final,true,0.25\r\n\
             750,Tyler,2026-02-18T10:00:00,,5,,,,,false,\r\n"
        );
    }

    #[test]
    fn names_are_quoted_and_never_formulas() {
        for (name, cell) in [
            ("Tyler, \"North\"", "\"Tyler, \"\"North\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\ta", "'\ta"),
            ("\ra", "\"'\ra\""),
            ("=a,b", "\"'=a,b\""),
            ("a=b", "a=b"),
            ("  =1+1", "'  =1+1"),
            (" \ta", "' \ta"),
            ("\u{a0}@a", "'\u{a0}@a"),
            ("\u{feff}\u{200b}=a", "'\u{feff}\u{200b}=a"),
            ("\u{1}-1", "'\u{1}-1"),
            ("\n+1", "\"'\n+1\""),
            ("＝1+1", "'＝1+1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            (" ＠a", "' ＠a"),
            ("  a", "  a"),
            ("\u{feff}a", "\u{feff}a"),
            ("'=1", "'=1"),
        ] {
            let answer = answer(&[(750, Some(name))], 1, vec![Metric::Entrances]);

            let text = text(&answer);

            let row = text
                .strip_prefix("site_id,site_name,time,entrances\r\n")
                .unwrap();
            assert_eq!(row, format!("750,{cell},2026-02-18T09:00:00,\r\n"));
        }
    }

    /// The name of the only site, as a CSV reader reads it.
    fn read_back(name: &str) -> String {
        let answer = answer(&[(750, Some(name))], 1, vec![Metric::Entrances]);
        let text = text(&answer);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1, "{text:?}");
        records[0][1].to_owned()
    }

    proptest! {
        #[test]
        fn no_blank_hides_the_beginning_of_a_formula(
            blank in "[\\s\\p{Cc}\u{ad}\u{200b}\u{202e}\u{2060}\u{feff}\u{e0001}]{0,4}",
            opening in "[=+\\-@＝＋－＠\\t\\r]",
            rest in ".{0,8}",
        ) {
            let name = format!("{blank}{opening}{rest}");

            prop_assert_eq!(read_back(&name), format!("'{name}"));
        }

        #[test]
        fn a_name_other_than_a_formula_is_unchanged(blank in " {0,3}", name in "[a-zé中0-9'\"(#&,;][^\\p{Cc}]{0,8}") {
            let name = format!("{blank}{name}");

            prop_assert_eq!(read_back(&name), name);
        }
    }
}
