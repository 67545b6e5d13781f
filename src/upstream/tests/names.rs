//! Sites whose names change while their entities stay.

use super::identities::{client_of, identity};
use super::odd_vendors::{Answer, at_nine, report, row};
use super::*;

/// The rows of each site and date: those before the second day have the first name.
fn rows(sites: &[u64], dates: DateRange, names: impl Fn(u64) -> [String; 2]) -> Vec<String> {
    let of = |site: u64, date: Date| {
        let [old, new] = names(site);
        let name = if date == DAY { old } else { new };
        let fields = identity(&format!("E{site}"), &name);
        format!(r#"{{"time":"{date} 09:00:00",{fields}"entrances":{site}}}"#)
    };
    sites
        .iter()
        .flat_map(|site| dates.iter().map(move |date| (*site, date)))
        .map(|(site, date)| of(site, date))
        .collect()
}

/// Asserts that every cell of these sites has its site's id at nine; returns the number of calls.
async fn calls_for(client: &Upstream, sites: std::ops::Range<u64>, days: i32) -> u32 {
    let request = request(sites, days);
    let fetched = client.fetch(&request).await;
    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    assert_eq!(fetched.cells.len(), request.cells().count());
    for (site, figure) in at_nine(&fetched) {
        assert_eq!(figure, Some(f64::from(u32::try_from(site).unwrap())));
    }
    fetched.calls
}

fn name(client: &Upstream, id: u64) -> Option<String> {
    client.site_name(customer(), site(id))
}

fn corrected(site: u64) -> [String; 2] {
    [format!("Tiler {site}"), format!("Tyler {site}")]
}

#[tokio::test]
async fn a_name_corrected_within_the_range_is_served_and_the_newest_rows_name_is_shown() {
    let cases: [Answer; 3] = [
        |sites, dates| report(&rows(sites, dates, corrected), "{}"),
        |sites, dates| report(&rows(sites, dates, corrected), r#"{"750":"Tyler 750"}"#),
        // The newest rows come first.
        |sites, dates| {
            let mut rows = rows(sites, dates, corrected);
            rows.reverse();
            report(&rows, "{}")
        },
    ];
    for answer in cases {
        let (client, _, _) = client_of(answer).await;

        assert_eq!(calls_for(&client, 750..751, 3).await, 1);

        assert_eq!(name(&client, 750).as_deref(), Some("Tyler 750"));
    }
}

#[tokio::test]
async fn a_corrected_name_costs_single_sites_once_and_old_days_do_not_bring_the_old_name_back() {
    let (client, _, _) =
        client_of(|sites, dates| report(&rows(sites, dates, corrected), "{}")).await;

    let first = calls_for(&client, 1..3, 3).await;
    let shown = name(&client, 1);
    let changes = client.names_changed(customer());
    for days in [1, 3, 1, 2] {
        assert_eq!(calls_for(&client, 1..3, days).await, 1);
        assert_eq!(name(&client, 1), shown);
    }

    assert_eq!((first, shown.as_deref()), (3, Some("Tyler 1")));
    assert_eq!(client.names_changed(customer()), changes);
}

#[tokio::test]
async fn names_that_differ_only_in_white_space_are_one() {
    let cases: [Answer; 2] = [
        |sites, dates| {
            let spaced = |site| [format!("S{site}"), format!(" S{site}\u{a0} ")];
            report(&rows(sites, dates, spaced), "{}")
        },
        // Without entities, there are only names.
        |sites, dates| {
            let rows: Vec<_> = sites
                .iter()
                .flat_map(|site| dates.iter().map(move |date| (site, date)))
                .map(|(site, date)| {
                    let space = if date == DAY { "" } else { "  " };
                    format!(
                        r#"{{"time":"{date} 09:00:00","site_name":"S{site}{space}","entrances":{site}}}"#
                    )
                })
                .collect();
            report(&rows, r#"{"1":"S1 ","2":"S2"}"#)
        },
    ];
    for answer in cases {
        let (client, _, _) = client_of(answer).await;

        assert_eq!(calls_for(&client, 1..2, 2).await, 1);
        calls_for(&client, 1..3, 2).await;
        assert_eq!(calls_for(&client, 1..3, 2).await, 1);

        assert_eq!(name(&client, 1).as_deref(), Some("S1"));
    }
}

#[tokio::test]
async fn rows_of_one_entity_are_refused_if_the_mapping_gives_some_to_another_site() {
    let (client, _, _) = client_of(|_, _| {
        let rows = [row(&identity("E1", "N1"), 1), row(&identity("E1", "N2"), 2)];
        report(&rows, r#"{"1":"N1","2":"N2"}"#)
    })
    .await;

    let fetched = client.fetch(&request([1], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Untrusted(_)));
}
