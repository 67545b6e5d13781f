//! One figure from a bucket's rows, for every reason why a bucket may have several.

use std::sync::Arc;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::combine::ENTRANCES;
use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::VendorMetric;
use crate::domain::site::CustomerId;
use crate::upstream::wire;

const DAY: Date = date(2026, 2, 18);
const METRICS: [VendorMetric; 5] = VendorMetric::ALL;

/// A report of one day of one site.
#[derive(Clone, Copy)]
struct Report {
    day: Date,
    zone: Option<&'static str>,
    minutes: u16,
}

const PLAIN: Report = Report {
    day: DAY,
    zone: Some("America/Chicago"),
    minutes: 60,
};
const AUTUMN: Report = Report {
    day: date(2026, 11, 1),
    ..PLAIN
};

const LORD_HOWE: Report = Report {
    day: date(2026, 4, 5),
    zone: Some("Australia/Lord_Howe"),
    minutes: 60,
};

impl Report {
    /// Merges `rows` (fields without their time, each with its hour) into figures by slot, and doubts.
    fn read(self, rows: &[(u8, String)]) -> (Vec<[Option<f64>; METRICS.len()]>, Vec<Doubt>) {
        let site = SiteId::new(750).unwrap();
        let shape = Arc::new(ReportShape::new(
            &ReportRequest {
                customer: CustomerId::new(1).unwrap(),
                sites: vec![site],
                dates: DateRange::day(self.day).unwrap(),
                metrics: METRICS.into_iter().collect(),
                bucket: VendorBucket::from_minutes(self.minutes).unwrap(),
            },
            &SiteDirectory::new(self.zone.map(|name| TimeZone::get(name).unwrap())),
        ));
        let rows: Vec<_> = rows
            .iter()
            .map(|(hour, fields)| format!(r#"{{"time":"{} {hour:02}:00:00",{fields}}}"#, self.day))
            .collect();
        let body = format!(
            r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{}],"status":"success"}}}}}}"#,
            rows.join(",")
        );
        let answer = wire::parse(body.as_bytes(), &shape).unwrap();
        let identities: Vec<_> = answer.identities.iter().collect();
        let mut doubts = Doubts::default();

        let figures = SiteFigures::of(&shape, site, &identities);
        let of_parts = SiteFigures::of_parts(&shape, site, &identities, &mut doubts);

        let shown = |figures: &SiteFigures| {
            let slots = figures.day(0).unwrap_or_default().iter();
            let figure = |figure: f64| (!figure.is_nan()).then_some(figure);
            slots.map(|values| values.map(figure)).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&figures),
            shown(&of_parts),
            "the short way and the long one"
        );
        (shown(&figures), doubts.kinds())
    }

    /// Merges `rows` in every order of up to four of them, and more rows forwards and backwards.
    fn read_in_any_order(
        self,
        rows: &[(u8, &str)],
    ) -> (Vec<[Option<f64>; METRICS.len()]>, Vec<Doubt>) {
        let rows: Vec<_> = rows
            .iter()
            .map(|(hour, row)| (*hour, (*row).to_owned()))
            .collect();
        let expected = self.read(&rows);
        for order in orders(rows.len()) {
            let rows: Vec<_> = order.iter().map(|at| rows[*at].clone()).collect();
            assert_eq!(self.read(&rows), expected, "{rows:?}");
        }
        expected
    }
}

fn orders(len: usize) -> Vec<Vec<usize>> {
    if len > 4 {
        return vec![(0..len).rev().collect()];
    }
    let mut orders = vec![vec![]];
    for _ in 0..len {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let rest = (0..len)
                    .filter(|at| !order.contains(at))
                    .collect::<Vec<_>>();
                rest.into_iter()
                    .map(move |at| [order.clone(), vec![at]].concat())
            })
            .collect();
    }
    orders
}

fn at(figures: &[[Option<f64>; METRICS.len()]], slot: usize, metric: VendorMetric) -> Option<f64> {
    figures[slot][metric as usize]
}

#[test]
fn each_observation_of_a_bucket_belongs_to_a_metric_and_a_part() {
    for null in ["", r#","transactions":null"#, r#","dwell_time":null"#] {
        let entrances = |region: &str, count: u32| {
            format!(r#""entity_id":"e","region_names":["{region}"],"entrances":{count}{null}"#)
        };
        let other = |region: &str, metric: &str, figure: u32| {
            format!(
                r#""entity_id":"e","region_names":["{region}"],"entrances":null,"{metric}":{figure}"#
            )
        };
        let sold = [
            (9, &*entrances("A", 50)),
            (9, &*other("A", "transactions", 20)),
            (9, &*entrances("B", 30)),
            (9, &*other("B", "transactions", 10)),
        ];
        let stayed = [
            (9, &*entrances("A", 10)),
            (9, &*other("A", "dwell_time", 100)),
            (9, &*entrances("B", 30)),
            (9, &*other("B", "dwell_time", 200)),
        ];

        let (sold, none) = PLAIN.read_in_any_order(&sold);
        let (stayed, no_doubt) = PLAIN.read_in_any_order(&stayed);

        assert_eq!(at(&sold, 9, VendorMetric::Entrances), Some(80.0));
        assert_eq!(at(&sold, 9, VendorMetric::Transactions), Some(30.0));
        assert_eq!(at(&stayed, 9, VendorMetric::DwellTime), Some(175.0));
        assert!(none.is_empty() && no_doubt.is_empty());
    }
}

#[test]
fn a_part_with_entrances_and_no_dwell_time_leaves_the_sites_dwell_time_unknown() {
    let row = |region: &str, figures: &str| {
        format!(r#""entity_id":"e","region_names":["{region}"],{figures}"#)
    };
    let (figures, doubts) = PLAIN.read_in_any_order(&[
        (9, &row("A", r#""entrances":10,"dwell_time":100"#)),
        (9, &row("B", r#""entrances":90"#)),
        (10, &row("A", r#""entrances":10,"dwell_time":200"#)),
        (10, &row("B", r#""entrances":10,"dwell_time":200"#)),
        (11, &row("A", r#""entrances":10,"dwell_time":300"#)),
        (11, &row("B", r#""entrances":0"#)),
    ]);

    // A value of 100 for A would also be weighted with the entrances of B over a day.
    let dwell_time = [9, 10, 11].map(|slot| at(&figures, slot, VendorMetric::DwellTime));
    assert_eq!(dwell_time, [None, Some(200.0), Some(300.0)]);
    assert_eq!(at(&figures, 9, VendorMetric::Entrances), Some(100.0));
    assert_eq!(doubts, [Doubt::PartialDwellTime]);
}

#[test]
fn the_same_row_counts_once_in_every_spelling_of_its_keys() {
    let row = |name: &str, regions: &str| {
        format!(
            r#""entity_id":"36655","filter_id":"f","site_name":{name},"region_names":{regions},"entrances":5"#
        )
    };
    let plain = row(r#""Tyler""#, r#"["A","B"]"#);

    for copy in [
        plain.clone(),
        row(r#""Tyler""#, r#"["B","A"]"#),
        row("null", r#"["A","B"]"#),
        row(r#""""#, r#"["A", "\u0042"]"#),
        row("null", r#"["B","A","B"]"#),
    ] {
        let (figures, doubts) = PLAIN.read_in_any_order(&[(9, &plain), (9, &copy)]);

        assert_eq!(
            at(&figures, 9, VendorMetric::Entrances),
            Some(5.0),
            "{copy}"
        );
        assert!(doubts.is_empty(), "{copy}");
    }
}

#[test]
fn a_copy_that_lacks_keys_is_recognised_by_its_figures() {
    for lacking in [
        r#""entity_id":"e","filter_id":"f","region_names":null"#,
        r#""entity_id":"e","region_names":["A"]"#,
        r#""site_name":"T","filter_id":"f","region_names":["A"]"#,
        r#""entity_id":"e""#,
    ] {
        let whole = r#""entity_id":"e","site_name":"T","filter_id":"f","region_names":["A"]"#;
        let rows = |keys: &'static str, figures: &[(u8, u32)]| {
            let row =
                move |(hour, count): &(u8, u32)| (*hour, format!(r#"{keys},"entrances":{count}"#));
            figures.iter().map(row).collect::<Vec<_>>()
        };
        let both = |one: &[(u8, u32)], other: &[(u8, u32)]| {
            [rows(whole, one), rows(lacking, other)].concat()
        };
        let entrances = |rows: Vec<(u8, String)>| {
            let rows: Vec<_> = rows.iter().map(|(hour, row)| (*hour, &**row)).collect();
            let (figures, doubts) = PLAIN.read_in_any_order(&rows);
            let of = |hour| at(&figures, hour, VendorMetric::Entrances);
            (of(9), of(10), of(11), of(12), doubts)
        };
        let all = [(9, 5), (10, 7), (11, 2), (12, 8)];

        let one_copy = entrances(both(&all, &[(9, 5)]));
        let all_copies = entrances(both(&all, &all));
        let a_part = entrances(both(&all, &[(9, 1), (10, 2), (11, 9), (12, 4)]));
        let the_rest = entrances(both(&all[..2], &all[2..]));
        let corrected = entrances(both(&all, &[(9, 5), (10, 7), (11, 2), (12, 6)]));

        let once = (Some(5.0), Some(7.0), Some(2.0), Some(8.0));
        let with = |doubts: &[Doubt]| (once.0, once.1, once.2, once.3, doubts.to_vec());
        assert_eq!(one_copy, with(&[Doubt::PartsOrCopies]), "{lacking}");
        assert_eq!(all_copies, with(&[]), "{lacking}");
        assert_eq!(the_rest, with(&[]), "{lacking}");
        assert_eq!(
            corrected,
            with(&[Doubt::FiguresDiffer, Doubt::PartsOrCopies]),
            "{lacking}"
        );
        assert_eq!(
            a_part,
            (Some(6.0), Some(9.0), Some(11.0), Some(12.0), vec![]),
            "{lacking}"
        );
    }
}

#[test]
fn a_copy_without_a_region_belongs_to_one_of_several() {
    let row = |hour: u8, region: &str, count: u32| {
        (
            hour,
            format!(r#""region_names":[{region}],"entrances":{count}"#),
        )
    };
    let rows: Vec<_> = (9..14)
        .flat_map(|hour| {
            let (a, b) = (u32::from(hour), 30 + u32::from(hour));
            let lacking = if hour % 2 == 0 { a } else { b };
            [
                row(hour, r#""A""#, a),
                row(hour, r#""B""#, b),
                row(hour, "", lacking),
            ]
        })
        .collect();

    let (figures, doubts) = PLAIN.read(&rows);

    for hour in 9..14_u8 {
        let sum = f64::from(30 + 2 * u32::from(hour));
        assert_eq!(
            at(&figures, hour.into(), VendorMetric::Entrances),
            Some(sum)
        );
    }
    assert!(doubts.is_empty());
}

#[test]
fn the_same_row_with_other_figures_is_in_doubt_and_its_order_does_not_matter() {
    let (figures, doubts) = PLAIN.read_in_any_order(&[
        (9, r#""entity_id":"e","entrances":5"#),
        (9, r#""entity_id":"e","entrances":8"#),
        (10, r#""entity_id":"e","entrances":3"#),
    ]);

    assert_eq!(at(&figures, 9, VendorMetric::Entrances), Some(8.0));
    assert_eq!(at(&figures, 10, VendorMetric::Entrances), Some(3.0));
    assert_eq!(doubts, [Doubt::FiguresDiffer]);
}

#[test]
fn no_bucket_mixes_the_metrics_of_two_contradictory_rows() {
    let read = |rows: &[&str]| {
        let rows: Vec<_> = rows.iter().map(|row| (9, *row)).collect();
        let (figures, doubts) = PLAIN.read_in_any_order(&rows);
        let of = |metric| at(&figures, 9, metric);
        let bucket = (of(VendorMetric::Entrances), of(VendorMetric::DwellTime));
        (bucket, doubts)
    };
    let differ = vec![Doubt::FiguresDiffer];

    let whole = read(&[
        r#""entrances":5,"dwell_time":100"#,
        r#""entrances":8,"dwell_time":50"#,
    ]);
    let lacking = read(&[r#""entrances":5,"dwell_time":100"#, r#""entrances":8"#]);
    let pieces = read(&[
        r#""entrances":5"#,
        r#""dwell_time":100"#,
        r#""entrances":8"#,
    ]);
    let pieces_of_one = read(&[
        r#""entrances":8,"dwell_time":null"#,
        r#""dwell_time":100"#,
        r#""entrances":8,"dwell_time":100"#,
    ]);

    assert_eq!(whole, ((Some(8.0), Some(50.0)), differ.clone()));
    assert_eq!(lacking, ((Some(8.0), None), differ.clone()));
    assert_eq!(pieces, ((Some(8.0), Some(100.0)), differ));
    assert_eq!(pieces_of_one, ((Some(8.0), Some(100.0)), vec![]));
}

#[test]
fn rows_that_all_come_twice_with_other_figures_are_parts_without_distinguishing_keys() {
    let rows: Vec<_> = (8..14_u8)
        .flat_map(|hour| {
            [1, 2].map(|door| {
                (
                    hour,
                    format!(
                        r#""entrances":{},"dwell_time":{},"door":{door}"#,
                        u32::from(hour) * door,
                        door * 10
                    ),
                )
            })
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(hour, row)| (*hour, &**row)).collect();

    let (figures, doubts) = PLAIN.read_in_any_order(&rows);

    assert_eq!(at(&figures, 9, VendorMetric::Entrances), Some(27.0));
    let dwell_time = at(&figures, 9, VendorMetric::DwellTime).unwrap();
    assert!((dwell_time - (9.0 * 10.0 + 18.0 * 20.0) / 27.0).abs() < 1e-9);
    assert_eq!(doubts, [Doubt::PartsOrCopies]);
}

/// Both occurrences of the repeated hour, by metric.
fn both(
    figures: &[[Option<f64>; METRICS.len()]],
    slots: [usize; 2],
    metric: VendorMetric,
) -> [Option<f64>; 2] {
    slots.map(|slot| at(figures, slot, metric))
}

#[test]
fn a_repeated_half_hour_is_two_occurrences_of_its_hour() {
    let rows = [
        (0, r#""entrances":4,"occupancy":2"#),
        (1, r#""entrances":10,"dwell_time":60,"occupancy":8"#),
        (
            1,
            r#""entrances":3,"transactions":2,"dwell_time":20,"occupancy":4"#,
        ),
        (2, r#""entrances":1"#),
    ]
    .map(|(hour, row)| (hour, row.to_owned()));
    let disordered = [2, 1, 3, 0].map(|at| rows[at].clone());

    let (figures, doubts) = LORD_HOWE.read(&rows);
    let (shuffled, in_doubt) = LORD_HOWE.read(&disordered);
    let (summed, none) = LORD_HOWE.read(&[(1, r#""entrances":13,"occupancy":7"#.to_owned())]);
    let like = vec![(1, r#""entrances":10,"occupancy":3"#.to_owned()); 2];
    let (like, _) = LORD_HOWE.read(&like);

    let of = |figures: &[_], metric| both(figures, [1, 24], metric);
    let dwell_time = Some((600.0 + 60.0) / 13.0);
    for figures in [&figures, &shuffled] {
        assert_eq!(figures.len(), 25);
        assert_eq!(
            of(figures, VendorMetric::Entrances),
            [Some(10.0), Some(3.0)]
        );
        assert_eq!(of(figures, VendorMetric::Transactions), [None, Some(2.0)]);
        assert_eq!(of(figures, VendorMetric::DwellTime), [dwell_time; 2]);
    }
    assert_eq!(
        of(&figures, VendorMetric::Occupancy),
        [Some(8.0), Some(4.0)]
    );
    assert_eq!(
        of(&shuffled, VendorMetric::Occupancy),
        [None, Some(8.0)],
        "the peak, and no mean"
    );
    assert!(doubts.is_empty() && none.is_empty());
    assert_eq!(in_doubt, [Doubt::RepeatedHour]);
    assert_eq!(of(&like, VendorMetric::Entrances), [Some(10.0); 2]);
    assert_eq!(of(&like, VendorMetric::Occupancy), [Some(3.0); 2]);
    assert_eq!(of(&summed, VendorMetric::Entrances), [Some(13.0), None]);
    assert_eq!(of(&summed, VendorMetric::Occupancy), [Some(7.0), None]);
}

#[test]
fn the_levels_of_parts_add_up_at_each_of_the_two_times() {
    let rows = |levels: &[(&str, u32)]| {
        let row = |(region, level): &(&str, u32)| {
            (
                1,
                format!(r#""region_names":["{region}"],"occupancy":{level}"#),
            )
        };
        let before = (0, r#""region_names":["A"],"occupancy":1"#.to_owned());
        std::iter::once(before)
            .chain(levels.iter().map(row))
            .collect::<Vec<_>>()
    };
    let in_order = rows(&[("A", 8), ("B", 6), ("A", 2), ("B", 3)]);
    // The hour before comes last.
    let mut disordered = in_order.clone();
    disordered.reverse();
    let mut crossed = rows(&[("A", 2), ("B", 6), ("A", 8), ("B", 3)]);
    crossed.reverse();
    let one_varies = rows(&[("A", 8), ("B", 6), ("A", 2), ("B", 6)]);
    let one_is_single = rows(&[("A", 8), ("B", 6), ("A", 2)]);

    for report in [AUTUMN, LORD_HOWE] {
        let levels = |rows: &[_]| {
            let (figures, doubts) = report.read(rows);
            (both(&figures, [1, 24], VendorMetric::Occupancy), doubts)
        };

        assert_eq!(levels(&in_order), ([Some(14.0), Some(5.0)], vec![]));
        assert_eq!(levels(&one_varies), ([Some(14.0), Some(8.0)], vec![]));
        assert_eq!(
            levels(&one_is_single),
            ([Some(14.0), Some(2.0)], vec![Doubt::RepeatedHour])
        );
    }
    for rows in [&disordered, &crossed] {
        let (whole, doubts) = AUTUMN.read(rows);
        let (in_part, in_doubt) = LORD_HOWE.read(rows);
        assert_eq!(
            both(&whole, [1, 24], VendorMetric::Occupancy),
            [Some(14.0), Some(5.0)]
        );
        assert_eq!(
            both(&in_part, [1, 24], VendorMetric::Occupancy),
            [None, Some(14.0)]
        );
        assert_eq!(
            (doubts, in_doubt),
            (vec![Doubt::RepeatedHour], vec![Doubt::RepeatedHour])
        );
    }
}

#[test]
fn one_figure_of_each_metric_in_the_repeated_hour_is_in_doubt() {
    let entrances = (1, r#""entrances":10"#.to_owned());
    let dwell_time = (1, r#""dwell_time":60"#.to_owned());

    let (figures, doubts) = AUTUMN.read(&[entrances.clone(), dwell_time]);
    let sold = (1, r#""transactions":2"#.to_owned());
    let (_, none) = AUTUMN.read(&[entrances, sold]);

    assert_eq!(
        both(&figures, [1, 24], VendorMetric::DwellTime),
        [Some(60.0), None]
    );
    assert_eq!(doubts, [Doubt::RepeatedHour]);
    assert!(none.is_empty(), "which changes no figure");
}

#[test]
fn rows_of_a_skipped_hour_are_ignored_and_their_figures_are_a_doubt() {
    for (zone, day, hour) in [
        ("America/Chicago", date(2026, 3, 8), 2),
        ("Asia/Beirut", date(2026, 3, 29), 0),
        ("Africa/Cairo", date(2026, 4, 24), 0),
        ("America/Sao_Paulo", date(2018, 11, 4), 0),
        ("Pacific/Apia", date(2011, 12, 30), 12),
    ] {
        for minutes in [5, 10, 15, 30, 60] {
            let report = Report {
                day,
                zone: Some(zone),
                minutes,
            };
            let skipped = |fields: &str| {
                let row = (hour, fields.to_owned());
                let other = (hour, fields.replace("\"A\"", "\"B\""));
                [
                    report.read(std::slice::from_ref(&row)),
                    report.read(&[row, other]),
                ]
            };

            for (figures, doubts) in skipped(r#""region_names":["A"],"entrances":0,"occupancy":0"#)
            {
                assert!(
                    figures.iter().flatten().all(Option::is_none),
                    "{zone} {minutes}"
                );
                assert!(doubts.is_empty());
            }
            for (figures, doubts) in skipped(r#""region_names":["A"],"entrances":0,"occupancy":7"#)
            {
                assert!(
                    figures.iter().flatten().all(Option::is_none),
                    "{zone} {minutes}"
                );
                assert_eq!(doubts, [Doubt::SkippedHour]);
            }
        }
    }
    // The clock skips half an hour: half past two exists.
    let spring = Report {
        day: date(2026, 10, 4),
        ..LORD_HOWE
    };
    let (figures, doubts) = spring.read(&[(2, r#""entrances":7"#.to_owned())]);
    assert_eq!(at(&figures, 2, VendorMetric::Entrances), Some(7.0));
    assert!(doubts.is_empty());
    let (figures, doubts) = Report {
        minutes: 30,
        ..spring
    }
    .read(&[(2, r#""entrances":7"#.to_owned())]);
    assert_eq!(figures.into_iter().flatten().flatten().next(), None);
    assert_eq!(doubts, [Doubt::SkippedHour]);
}

#[test]
fn no_hour_mixes_the_metrics_of_two() {
    let (figures, doubts) = AUTUMN.read(&[
        (1, r#""entrances":10,"dwell_time":60"#.to_owned()),
        (
            1,
            r#""entrances":3,"transactions":2,"dwell_time":20"#.to_owned(),
        ),
    ]);

    let row = |slot, metric| at(&figures, slot, metric);
    assert_eq!(
        [1, 24].map(|slot| row(slot, VendorMetric::Entrances)),
        [Some(10.0), Some(3.0)]
    );
    assert_eq!(
        [1, 24].map(|slot| row(slot, VendorMetric::Transactions)),
        [None, Some(2.0)]
    );
    assert_eq!(
        [1, 24].map(|slot| row(slot, VendorMetric::DwellTime)),
        [Some((600.0 + 60.0) / 13.0); 2],
        "of both together, whatever the order of the entrances elsewhere"
    );
    assert!(doubts.is_empty());
}

#[test]
fn the_repeated_hour_may_have_parts_and_a_row_for_each_metric() {
    let mut rows = Vec::new();
    for (entrances, dwell_time, sold) in [(10, 100, 4), (30, 200, 1)] {
        for region in ["A", "B"] {
            for (metric, figure) in [
                ("entrances", entrances),
                ("dwell_time", dwell_time),
                ("transactions", sold),
            ] {
                rows.push((
                    1,
                    format!(r#""region_names":["{region}"],"{metric}":{figure}"#),
                ));
            }
        }
    }

    let (figures, doubts) = AUTUMN.read(&rows);
    let (twice, _) = AUTUMN.read(
        &rows
            .iter()
            .flat_map(|row| [row.clone(), row.clone()])
            .chain([
                (5, r#""region_names":["A"],"entrances":7"#.to_owned()),
                (5, r#""region_names":["A"],"entrances":7"#.to_owned()),
            ])
            .collect::<Vec<_>>(),
    );
    rows.reverse();
    rows.swap(0, 5);
    rows.push((0, r#""region_names":["A"],"entrances":7"#.to_owned()));
    rows.push((0, r#""region_names":["B"],"entrances":7"#.to_owned()));
    let (disordered, in_doubt) = AUTUMN.read(&rows);

    let both = |figures: &[_], metric| both(figures, [1, 24], metric);
    for figures in [&figures, &twice] {
        assert_eq!(
            both(figures, VendorMetric::Entrances),
            [Some(20.0), Some(60.0)]
        );
        assert_eq!(
            both(figures, VendorMetric::Transactions),
            [Some(8.0), Some(2.0)]
        );
        assert_eq!(both(figures, VendorMetric::DwellTime), [Some(175.0); 2]);
    }
    assert!(doubts.is_empty());
    let sum = |metric| both(&disordered, metric).into_iter().flatten().sum::<f64>();
    assert_eq!(
        (
            sum(VendorMetric::Entrances),
            sum(VendorMetric::Transactions)
        ),
        (80.0, 10.0)
    );
    assert_eq!(
        both(&disordered, VendorMetric::DwellTime),
        [None, None],
        "no weight by guess"
    );
    assert_eq!(in_doubt, [Doubt::RepeatedHour]);
}

#[test]
fn the_other_buckets_distinguish_a_repeated_hour_from_copies() {
    let row = |hour: u8, count: u32| (hour, format!(r#""entity_id":"e","entrances":{count}"#));
    let sum = |report: Report, rows: &[(u8, String)]| {
        let (figures, doubts) = report.read(rows);
        let all = figures
            .iter()
            .enumerate()
            .filter(|(slot, _)| [1, 24].contains(slot));
        let sum: f64 = all.filter_map(|(_, figures)| figures[ENTRANCES]).sum();
        (sum, doubts)
    };
    let once = [row(0, 1), row(1, 10), row(1, 10), row(2, 3)];
    let everything_twice = [
        row(0, 1),
        row(0, 1),
        row(1, 10),
        row(1, 10),
        row(2, 3),
        row(2, 3),
    ];
    let something_twice = [row(0, 1), row(1, 10), row(1, 10), row(2, 3), row(2, 3)];
    let two_hours_twice = [
        row(0, 1),
        row(0, 1),
        row(1, 10),
        row(1, 10),
        row(1, 4),
        row(1, 4),
    ];
    let unlike = [row(0, 1), row(1, 10), row(1, 4), row(2, 3)];
    let nowhere = Report {
        zone: None,
        ..AUTUMN
    };

    assert_eq!(sum(AUTUMN, &once), (20.0, vec![]));
    assert_eq!(sum(AUTUMN, &everything_twice), (10.0, vec![]));
    assert_eq!(
        sum(AUTUMN, &something_twice),
        (20.0, vec![Doubt::RepeatedHour])
    );
    assert_eq!(sum(AUTUMN, &two_hours_twice), (14.0, vec![]));
    assert_eq!(sum(AUTUMN, &unlike), (14.0, vec![]));
    assert_eq!(sum(nowhere, &once), (10.0, vec![Doubt::RepeatedHour]));
    assert_eq!(sum(nowhere, &everything_twice), (10.0, vec![]));
    assert_eq!(
        sum(nowhere, &unlike),
        (10.0, vec![Doubt::FiguresDiffer, Doubt::RepeatedHour])
    );
}

/// A row of each part and hour, with some of its metrics: `None` is absent.
type Honest = std::collections::BTreeMap<(u8, u8), [Option<u16>; METRICS.len()]>;

fn honest() -> impl Strategy<Value = Honest> {
    let figures = prop::array::uniform5(prop::option::weighted(0.8, 0..300_u16));
    prop::collection::btree_map((0..24_u8, 0..4_u8), figures, 1..40)
}

/// The text of a part's keys, in the `nth` spelling.
fn keys(part: u8, nth: u8) -> String {
    let (filter, regions) = [
        ("f", ["A", "B"]),
        ("f", ["B", "C"]),
        ("g", ["A", "B"]),
        ("g", ["C", "D"]),
    ][usize::from(part)];
    let name = if nth & 1 == 0 { r#""Tyler""# } else { "null" };
    let [one, other] = if nth & 2 == 0 {
        regions
    } else {
        [regions[1], regions[0]]
    };
    format!(
        r#""entity_id":"e","site_name":{name},"filter_id":"{filter}","region_names":["{one}","{other}"]"#
    )
}

fn row(keys: &str, figures: &[(usize, Option<u16>)]) -> String {
    let fields = figures.iter().map(|(metric, figure)| {
        let figure = figure.map_or("null".to_owned(), |figure| figure.to_string());
        format!(r#""{}":{figure}"#, METRICS[*metric])
    });
    [keys.to_owned()]
        .into_iter()
        .chain(fields)
        .collect::<Vec<_>>()
        .join(",")
}

proptest! {
    #[test]
    fn any_order_partition_and_repetition_of_rows_gives_the_same_figures(
        honest in honest(),
        cuts in prop::collection::vec((0..31_u8, any::<bool>()), 40),
        repeats in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..40),
        seed in any::<u64>(),
    ) {
        let whole: Vec<_> = honest
            .iter()
            .map(|((hour, part), figures)| (*hour, row(&keys(*part, 0), &figures.iter().copied().enumerate().collect::<Vec<_>>())))
            .collect();
        let mut pieces = Vec::new();
        for (((hour, part), figures), (cut, nulls)) in honest.iter().zip(&cuts) {
            let in_first = |metric: usize| cut & 1 << metric != 0;
            for first in [true, false] {
                let of_piece = figures.iter().copied().enumerate();
                let of_piece = of_piece.map(|(metric, figure)| (metric, figure.filter(|_| in_first(metric) == first)));
                let of_piece: Vec<_> = of_piece.filter(|(_, figure)| *nulls || figure.is_some()).collect();
                pieces.push((*hour, *part, of_piece));
            }
        }
        let copies = repeats.iter().map(|(at, nth)| {
            let (hour, part, figures) = &pieces[at.index(pieces.len())];
            (*hour, row(&keys(*part, *nth), figures))
        });
        let copies: Vec<_> = copies.collect();
        let mut rows: Vec<_> = pieces.iter().map(|(hour, part, figures)| (*hour, row(&keys(*part, 0), figures))).collect();
        rows.extend(copies);
        rows.sort_by_key(|row| { use std::hash::BuildHasher; foldhash::fast::FixedState::with_seed(seed).hash_one(row) });

        let (expected, of_the_parts) = PLAIN.read(&whole);
        let (figures, doubts) = PLAIN.read(&rows);

        prop_assert_eq!(figures, expected);
        prop_assert_eq!(&doubts, &of_the_parts);
        prop_assert!(doubts.iter().all(|doubt| *doubt == Doubt::PartialDwellTime));
    }

    #[test]
    fn no_order_of_odd_rows_changes_a_figure(
        rows in prop::collection::vec((9..12_u8, 0..6_usize, 0..5_usize, 0..4_u16), 1..20),
        seed in any::<u64>(),
    ) {
        const KEYS: [&str; 6] = [
            r#""entity_id":"e""#,
            r#""entity_id":"e","filter_id":"f""#,
            r#""entity_id":"e","region_names":["A"]"#,
            r#""entity_id":"e","region_names":["B"],"filter_id":"f""#,
            r#""site_name":"T""#,
            r#""x":1"#,
        ];
        let rows: Vec<_> = rows
            .iter()
            .map(|(hour, keys, metric, figure)| (*hour, row(KEYS[*keys], &[(*metric, Some(*figure))])))
            .collect();
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| { use std::hash::BuildHasher; foldhash::fast::FixedState::with_seed(seed).hash_one(row) });

        prop_assert_eq!(PLAIN.read(&rows), PLAIN.read(&shuffled));
    }

    #[test]
    fn contradictory_copies_give_one_whole_row_in_any_order(
        copies in prop::collection::btree_map(9..14_u8, prop::collection::vec(prop::array::uniform5(prop::option::weighted(0.9, 0..4_u16)), 1..4), 1..5),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        seed in any::<u64>(),
    ) {
        let all = |figures: &[Option<u16>; METRICS.len()]| row(r#""entity_id":"e""#, &figures.iter().copied().enumerate().collect::<Vec<_>>());
        // The other buckets come once, so that these are copies and not parts.
        let once = (0..9_u8).map(|hour| (hour, all(&[Some(1); METRICS.len()])));
        let rows: Vec<_> = once.chain(copies.iter().flat_map(|(hour, copies)| copies.iter().map(|figures| (*hour, all(figures))))).collect();
        let mut shuffled = rows.clone();
        shuffled.extend(repeats.iter().map(|at| rows[9 + at.index(rows.len() - 9)].clone()));
        shuffled.sort_by_key(|row| { use std::hash::BuildHasher; foldhash::fast::FixedState::with_seed(seed).hash_one(row) });

        let (figures, doubts) = PLAIN.read(&rows);
        let (others, _) = PLAIN.read(&shuffled);

        prop_assert_eq!(&figures, &others);
        prop_assert!(doubts.iter().all(|doubt| *doubt == Doubt::FiguresDiffer));
        for (hour, copies) in &copies {
            let taken = figures[usize::from(*hour)];
            let fits = |copy: &&[Option<u16>; METRICS.len()]| copy.iter().zip(taken).all(|(figure, taken)| figure.is_none_or(|figure| taken == Some(f64::from(figure))));
            let said: Vec<_> = copies.iter().filter(fits).collect();
            // Each figure belongs to a row of which no figure was left out.
            for (metric, taken) in taken.iter().enumerate() {
                prop_assert_eq!(taken.is_some(), said.iter().any(|copy| copy[metric].is_some()));
            }
        }
    }
}
