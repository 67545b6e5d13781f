use super::*;
use jiff::civil::date;

const COUNTS: [VendorMetric; 3] = [
    VendorMetric::Entrances,
    VendorMetric::Transactions,
    VendorMetric::WalkBys,
];
const ALL: [&str; 5] = [
    "entrances",
    "dwell_time",
    "transactions",
    "occupancy",
    "walk_bys",
];

fn sum(figures: &[Option<f64>]) -> f64 {
    figures.iter().flatten().sum()
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_from_any_simulator() {
    let first = Vendor::start(Settings::default()).await;
    let second = Vendor::start(Settings::default()).await;
    let question = config(&[750, 752, 4711], ["2026-02-10", "2026-02-20"], &ALL, 15);

    assert_eq!(first.rows(&question).await, second.rows(&question).await);
}

#[tokio::test]
async fn rows_match_the_figures_behind_them() {
    let vendor = Vendor::start(Settings::default()).await;
    let day = date(2026, 2, 18);

    let rows = vendor
        .rows(&config(&[752], ["2026-02-18", "2026-02-18"], &ALL, 30))
        .await;

    for metric in VendorMetric::ALL {
        let figures = vendor.simulator.figures(&cell(752, metric, 30, day));
        for row in &rows {
            let time = row["time"].as_str().unwrap();
            let slot =
                time[11..13].parse::<usize>().unwrap() * 2 + usize::from(&time[14..16] == "30");
            assert_eq!(
                row[metric.name()].as_f64(),
                figures[slot],
                "{metric} at {time}"
            );
        }
        let told = rows
            .iter()
            .filter(|row| !row[metric.name()].is_null())
            .count();
        assert_eq!(told, figures.iter().flatten().count());
    }
}

#[tokio::test]
async fn counts_of_every_bucket_add_up_to_the_same_day() {
    let vendor = Vendor::start(Settings::default()).await;
    for metric in COUNTS {
        for day in 1..=28 {
            let total = |minutes| {
                sum(&vendor
                    .simulator
                    .figures(&cell(753, metric, minutes, date(2026, 1, day))))
            };

            for minutes in [10, 15, 30, 60] {
                assert_eq!(total(minutes), total(5), "{metric} on {day} by {minutes}");
            }
        }
    }
}

#[tokio::test]
async fn figures_are_plausible_for_retail() {
    let vendor = Vendor::with_quirks(Quirks::default()).await;
    let of = |metric, day| {
        sum(&vendor
            .simulator
            .figures(&cell(750, metric, 60, date(2026, 1, day))))
    };
    let total = |metric| (2..=31).map(|day| of(metric, day)).sum::<f64>();

    let entrances = total(VendorMetric::Entrances);
    let conversion = total(VendorMetric::Transactions) / entrances;
    assert!((0.2..0.36).contains(&conversion), "{conversion}");
    assert!(total(VendorMetric::WalkBys) > entrances);
    assert!((100.0..4000.0).contains(&(entrances / 30.0)), "{entrances}");
    // Saturday beats Monday, and the shop is shut at night and on New Year's Day.
    assert!(of(VendorMetric::Entrances, 17) > of(VendorMetric::Entrances, 19));
    assert_eq!(of(VendorMetric::Entrances, 1), 0.0);
    let hours =
        vendor
            .simulator
            .figures(&cell(750, VendorMetric::Entrances, 60, date(2026, 1, 16)));
    assert_eq!(hours[3], None);
    assert!(hours[17] > hours[10]);
}

#[tokio::test]
async fn an_hours_dwell_time_and_occupancy_are_not_the_means_of_its_quarters() {
    let vendor = Vendor::with_quirks(Quirks::default()).await;
    let day = date(2026, 2, 18);
    let of = |metric, minutes| vendor.simulator.figures(&cell(750, metric, minutes, day));
    let (hours, quarters) = (
        of(VendorMetric::DwellTime, 60),
        of(VendorMetric::DwellTime, 15),
    );
    let weights = of(VendorMetric::Entrances, 15);
    let (levels, level_quarters) = (
        of(VendorMetric::Occupancy, 60),
        of(VendorMetric::Occupancy, 15),
    );

    let differ = (10..20).filter(|hour| {
        let quarter = || hour * 4..hour * 4 + 4;
        let stayed: f64 = quarter()
            .map(|slot| quarters[slot].unwrap() * weights[slot].unwrap())
            .sum();
        let mean = stayed / quarter().map(|slot| weights[slot].unwrap()).sum::<f64>();
        (mean - hours[*hour].unwrap()).abs() > 0.001
    });
    assert!(differ.count() >= 8);
    let differ = (10..20).filter(|hour| {
        let mean = sum(&level_quarters[hour * 4..hour * 4 + 4]) / 4.0;
        (mean - levels[*hour].unwrap()).abs() > 0.001
    });
    assert!(differ.count() >= 3);
}

#[tokio::test]
async fn today_fills_up_as_the_day_goes() {
    let question = config(&[750], ["2026-02-20", "2026-02-21"], &["entrances"], 60);
    let mut totals = Vec::new();
    for minutes in [0, 60, 75, 600] {
        let now = NOW + jiff::SignedDuration::from_mins(minutes);
        let settings = Settings {
            quirks: Quirks {
                outages: false,
                ..Quirks::default()
            },
            ..Settings::default()
        };
        let vendor = Vendor::start_at(settings, now).await;

        let rows = vendor.rows(&question).await;

        assert!(
            rows.iter()
                .all(|row| row["time"].as_str().unwrap().starts_with("2026-02-20"))
        );
        totals.push((rows.len(), total(&rows, "entrances")));
    }
    // Noon: the hours from 8 (passers-by only) to 11. At 13:15, the current hour is partly reported.
    assert_eq!(totals[0].0, 4);
    assert_eq!(totals[1].0, 5);
    assert_eq!(totals[2].0, 6);
    assert!(
        totals.is_sorted_by(|before, after| before.1 < after.1),
        "{totals:?}"
    );
}

#[tokio::test]
async fn buckets_to_come_may_be_zeros() {
    let vendor = Vendor::with_quirks(Quirks {
        future: FutureBuckets::Zero,
        ..Quirks::default()
    })
    .await;

    let rows = vendor
        .rows(&config(
            &[750],
            ["2026-02-20", "2026-02-20"],
            &["entrances"],
            60,
        ))
        .await;

    assert_eq!(rows.last().unwrap()["time"], "2026-02-20 23:00:00");
    assert_eq!(rows.last().unwrap()["entrances"], 0);
}

#[tokio::test]
async fn the_autumn_day_has_an_hour_twice_and_the_spring_day_lacks_one() {
    // 752 is in Denver and open day and night.
    let autumn = config(&[752], ["2025-11-02", "2025-11-02"], &["entrances"], 60);
    let spring = config(&[752], ["2025-03-09", "2025-03-09"], &["entrances"], 60);
    let vendor = Vendor::with_quirks(Quirks::default()).await;

    let apart = vendor.rows(&autumn).await;
    let short = vendor.rows(&spring).await;
    vendor.simulator.set_quirks(Quirks {
        repeated_hour: RepeatedHour::Summed,
        ..vendor.simulator.quirks()
    });
    let summed = vendor.rows(&autumn).await;

    let hours = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["time"].as_str().unwrap()[11..13].parse().unwrap())
            .collect::<Vec<u8>>()
    };
    assert_eq!(hours(&apart)[..4], [0, 1, 1, 2]);
    assert_eq!(apart.len(), 25);
    assert_eq!(hours(&short)[..3], [0, 1, 3]);
    assert_eq!(short.len(), 23);
    assert_eq!(summed.len(), 24);
    assert_eq!(total(&summed, "entrances"), total(&apart, "entrances"));
    assert_eq!(
        summed[1]["entrances"].as_f64().unwrap(),
        total(&apart[1..3], "entrances")
    );
}

#[tokio::test]
async fn late_data_raises_only_the_figures_in_its_scope() {
    let vendor = Vendor::with_quirks(Quirks::default()).await;
    let of = |site, day| {
        vendor
            .simulator
            .figures(&cell(site, VendorMetric::Entrances, 60, date(2026, 2, day)))
    };
    let before = [of(750, 17), of(750, 18), of(751, 18)];

    vendor.simulator.revise(Revision {
        site: SiteId::new(750),
        dates: crate::domain::dates::DateRange::day(date(2026, 2, 18)),
    });

    let after = [of(750, 17), of(750, 18), of(751, 18)];
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    assert_eq!(sum(&after[1]), sum(&before[1]) + f64::from(12 * 12));
}

#[tokio::test]
async fn customers_have_figures_of_their_own() {
    let vendor = Vendor::start(Settings::default()).await;
    let ours = cell(750, VendorMetric::WalkBys, 60, date(2026, 2, 18));
    let theirs = CellKey {
        customer: CustomerId::new(7).unwrap(),
        ..ours
    };

    assert_ne!(
        vendor.simulator.figures(&ours),
        vendor.simulator.figures(&theirs)
    );
}

#[tokio::test]
async fn sensors_fail_on_some_days() {
    let vendor = Vendor::start(Settings::default()).await;
    let seen = |site| {
        let figures =
            vendor
                .simulator
                .figures(&cell(site, VendorMetric::WalkBys, 60, date(2026, 2, 18)));
        figures[12..18].iter().flatten().count()
    };

    let affected = (1000..1200).filter(|site| seen(*site) < 6).count();

    assert!((1..50).contains(&affected), "{affected}");
}
