//! Crediting of answers, in any order of their rows.

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::dates::DateRange;
use crate::domain::metric::VendorMetric;
use crate::domain::site::CustomerId;
use crate::upstream::wire;

fn now() -> Timestamp {
    "2026-02-19T12:00:00Z".parse().unwrap()
}

fn site(id: u64) -> SiteId {
    SiteId::new(id).unwrap()
}

fn sites(ids: &[u64]) -> BTreeSet<SiteId> {
    ids.iter().copied().map(site).collect()
}

fn report(sites: &[u64], metrics: &[VendorMetric], rows: &[String], mapping: &str) -> Report {
    let day = date(2026, 2, 18);
    let request = ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: sites.iter().copied().map(site).collect(),
        dates: DateRange::day(day).unwrap(),
        metrics: metrics.iter().copied().collect(),
        bucket: VendorBucket::HOUR,
    };
    let directory = SiteDirectory::new(Some(TimeZone::UTC));
    let shape = Arc::new(ReportShape::new(&request, &directory));
    let body = format!(
        r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{}],"site_mapping":{mapping},"status":"success"}}}}}}"#,
        rows.join(",")
    );
    let answer = wire::parse(body.as_bytes(), &shape).unwrap();
    Report {
        times: Times::new(now(), None),
        answer,
        shape,
    }
}

fn row(hour: u8, entity: &str, name: &str, fields: &str) -> String {
    format!(
        r#"{{"time":"2026-02-18 {hour:02}:00:00","entity_id":"{entity}","site_name":"{name}",{fields}}}"#
    )
}

/// The whole result of crediting a report.
fn summary(
    report: &Report,
    known: &Known,
    asked: &Asked,
) -> impl PartialEq + std::fmt::Debug + use<> {
    let credit = credit(report, known, asked);
    (
        credit.cells(&BTreeSet::new()),
        (credit.is_refused, credit.foreign),
        (credit.alone, credit.doubtful, credit.learned),
        (credit.unweighted, credit.untold),
    )
}

#[test]
fn unidentified_sites_are_requested_alone_and_have_no_cells() {
    let entrances = [VendorMetric::Entrances];
    let rows = [
        row(9, "a", "Same", r#""entrances":1"#),
        row(9, "b", "Same", r#""entrances":2"#),
        row(9, "c", "Other", r#""entrances":3"#),
    ];
    let mapping = r#"{"1":"Same","2":"Same","3":"Other"}"#;
    let report = report(&[1, 2, 3], &entrances, &rows, mapping);
    let nobody = Asked::default();

    let first = credit(&report, &Known::default(), &nobody);
    let served: Vec<_> = first.cells(&BTreeSet::new());
    let both = Asked {
        sites: sites(&[1, 2]),
        failed: sites(&[2]),
    };
    let second = credit(&report, &Known::default(), &both);

    assert_eq!(first.alone, sites(&[1, 2]));
    let served: Vec<_> = served.iter().map(|(key, _)| key.site).collect();
    assert_eq!(served, [site(3)]);
    assert!(second.alone.is_empty() && second.doubtful.is_empty());
    assert_eq!(
        second.untold,
        sites(&[1]),
        "nothing is known about the other one"
    );
}

#[test]
fn a_site_in_parts_without_their_weights_is_requested_again() {
    let stayed = [VendorMetric::DwellTime];
    let rows = [
        row(9, "a", "One", r#""region_names":["x"],"dwell_time":1"#),
        row(9, "a", "One", r#""region_names":["y"],"dwell_time":2"#),
        row(9, "b", "Two", r#""dwell_time":3"#),
    ];
    let report = report(&[1, 2], &stayed, &rows, r#"{"a":1,"b":2}"#);
    let (mut known, nobody) = (Known::default(), Asked::default());

    let first = credit(&report, &known, &nobody);
    first.teach(&mut known, 0);

    assert_eq!(first.unweighted, sites(&[1]));
    let cells = first.cells(&BTreeSet::new());
    assert!(cells.iter().all(|(key, _)| key.site == site(2)));
    assert_eq!(cells.len(), 1);
    assert!(known.is_in_parts(site(1)) && !known.is_in_parts(site(2)));
}

proptest! {
    /// Rows have any entity and name, learned before or not; any sites were requested alone.
    #[test]
    fn the_order_of_rows_changes_nothing(
        rows in prop::collection::vec((0_u8..24, 0_usize..5, 0_usize..4, 0_u32..9), 0..12)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        learned in prop::collection::vec((1_u64..5, 0_usize..5, 0_usize..4), 0..4),
        claims in prop::collection::btree_map(0_usize..5, 1_u64..6, 0..4),
        names in prop::collection::btree_map(1_u64..6, 0_usize..4, 0..5),
        (asked, failed) in (prop::collection::btree_set(1_u64..5, 0..3), any::<bool>()),
        weights in any::<bool>(),
    ) {
        let (entities, texts) = (["a", "b", "c", "d", "7"], ["A", "B", "C", "a"]);
        let mut metrics = vec![VendorMetric::DwellTime];
        metrics.extend(weights.then_some(VendorMetric::Entrances));
        let claims = claims.iter().map(|(entity, site)| format!(r#""{}":{site}"#, entities[*entity]));
        let names = names.iter().map(|(site, name)| format!(r#""{site}":{{"name":"{}"}}"#, texts[*name]));
        let mapping = format!("{{{}}}", claims.chain(names).collect::<Vec<_>>().join(","));
        let of = |sites: &[u64], rows: &[(u8, usize, usize, u32)]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|(hour, entity, name, figure)| {
                    let fields = format!(r#""dwell_time":{figure},"entrances":{figure}"#);
                    row(*hour, entities[*entity], texts[*name], &fields)
                })
                .collect();
            report(sites, &metrics, &rows, &mapping)
        };
        let taught = || {
            let mut known = Known::default();
            for (site, entity, name) in &learned {
                let report = of(&[*site], &[(9, *entity, *name, 1)]);
                credit(&report, &Known::default(), &Asked::default()).teach(&mut known, 0);
            }
            known
        };
        let asked: BTreeSet<_> = asked.into_iter().map(site).collect();
        let failed = asked.iter().copied().filter(|_| failed).collect();
        let asked = Asked { sites: asked, failed };
        let (in_order, shuffled) = (of(&[1, 2, 3, 4], &rows.0), of(&[1, 2, 3, 4], &rows.1));
        let (mut known, mut other) = (taught(), taught());

        let first = summary(&in_order, &known, &asked);
        prop_assert_eq!(&first, &summary(&shuffled, &other, &asked));

        credit(&in_order, &known, &asked).teach(&mut known, 0);
        credit(&shuffled, &other, &asked).teach(&mut other, 0);
        prop_assert_eq!(
            summary(&in_order, &known, &asked),
            summary(&in_order, &other, &asked),
            "the learned knowledge is the same"
        );
    }
}
