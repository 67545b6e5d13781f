//! Correct figures, whatever the vendor's habits.

use futures_util::future::join_all;

use super::*;
use crate::simulator::{
    ComputedAt, EmptyBuckets, FigureSource, FutureBuckets, Mapping, Quirks, RepeatedHour, RowOrder,
};

#[tokio::test]
async fn the_vendors_own_example_gives_correct_figures() {
    let vendor = vendor(Quirks {
        figures: FigureSource::Example,
        mapping: Mapping::Empty,
        ..Quirks::default()
    })
    .await;
    let client = client(settings(&vendor));

    let fetched = client.fetch(&request([750], 2)).await;

    let figures: Vec<_> = fetched
        .cells
        .iter()
        .map(|(_, cell)| cell.figures().iter().collect::<Vec<_>>())
        .collect();
    assert_eq!(
        figures[0][35..41],
        [None, Some(19.0), Some(23.0), Some(15.0), Some(20.0), None]
    );
    assert_eq!(figures[1][66..68], [Some(17.0), Some(29.0)]);
    assert_eq!(fetched.calls, 1);
    assert_eq!(
        client.known_sites(customer()),
        [(site(750), Some("Tyler".to_owned()))]
    );
    assert_eq!(
        client.site_name(customer(), site(750)).as_deref(),
        Some("Tyler")
    );
}

#[tokio::test]
async fn every_metric_of_every_site_is_correct_whatever_the_vendors_habits() {
    let plain = Quirks::default();
    for quirks in [
        plain.clone(),
        Quirks {
            mapping: Mapping::NamedObjects,
            order: RowOrder::Shuffled,
            floats: true,
            omit_nulls: true,
            computed_at: ComputedAt::Absent,
            ..plain.clone()
        },
        Quirks {
            mapping: Mapping::Entities,
            empty: EmptyBuckets::Zero,
            repeated_rows: false,
            extra_fields: true,
            outside_rows: true,
            escapes: true,
            gzip: false,
            ..plain.clone()
        },
        Quirks {
            mapping: Mapping::Empty,
            empty: EmptyBuckets::Null,
            regions: 3,
            ..plain.clone()
        },
        Quirks {
            regions: 4,
            region_entities: true,
            order: RowOrder::Shuffled,
            ..plain
        },
    ] {
        let vendor = vendor(quirks.clone()).await;
        let client = client(settings(&vendor));
        let mut request = request(750..760, 3);
        request.metrics = VendorMetric::ALL.into_iter().collect();
        request.bucket = VendorBucket::HOUR;

        let fetched = client.fetch(&request).await;

        println!("{quirks:?}");
        assert_true(&vendor, &request, &fetched);
    }
}

#[tokio::test]
async fn the_repeated_and_the_missing_hour_are_correct_if_the_zone_is_known() {
    for repeated_hour in [RepeatedHour::TwoRows, RepeatedHour::Summed] {
        let vendor = vendor(Quirks {
            repeated_hour,
            ..Quirks::default()
        })
        .await;
        let client = client(settings(&vendor));

        for day in [date(2026, 11, 1), date(2026, 3, 8)] {
            for bucket in VendorBucket::ALL {
                let mut request = request([750, 752, 754], 1);
                request.dates = DateRange::day(day).unwrap();
                request.bucket = bucket;

                let fetched = client.fetch(&request).await;

                assert_true(&vendor, &request, &fetched);
            }
        }
    }
}

#[tokio::test]
async fn zeros_for_the_rest_of_the_day_are_no_figures() {
    let now: jiff::Timestamp = "2026-02-18T18:40:00Z".parse().unwrap();
    let clock = Clock::from_fn(move || now);
    let settings_of_vendor = simulator::Settings {
        quirks: Quirks {
            future: FutureBuckets::Zero,
            empty: EmptyBuckets::Zero,
            ..Quirks::default()
        },
        ..simulator::Settings::default()
    };
    let vendor = Simulator::start(settings_of_vendor, clock.clone())
        .await
        .unwrap();
    let client = Upstream::new(settings(&vendor), clock).unwrap();

    let fetched = client.fetch(&request([750], 1)).await;

    // 12:40 in Chicago.
    let figures = fetched.cells[0].1.figures();
    assert!(figures.get(12 * 4 + 2).is_some());
    assert!((12 * 4 + 3..96).all(|slot| figures.get(slot).is_none()));
}

#[tokio::test]
async fn forty_sites_and_a_month_are_one_report() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    let request = request(750..790, 31);

    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert_eq!(vendor.report_count(), 1);
}

#[tokio::test]
async fn without_a_mapping_each_site_is_requested_alone_once_and_then_one_report_suffices() {
    let vendor = vendor(Quirks {
        mapping: Mapping::Empty,
        ..Quirks::default()
    })
    .await;
    let client = client(settings(&vendor));
    let request = request(750..758, 2);

    let first = client.fetch(&request).await;
    let calls = vendor.report_count();
    vendor.reset_counts();
    let second = client.fetch(&request).await;

    assert_true(&vendor, &request, &first);
    assert_true(&vendor, &request, &second);
    assert_eq!((calls, vendor.report_count()), (9, 1));
    assert_eq!((first.calls, second.calls), (9, 1));
}

#[tokio::test]
async fn concurrent_batches_with_the_same_doubt_resolve_it_once() {
    let vendor = vendor(Quirks {
        mapping: Mapping::Empty,
        ..Quirks::default()
    })
    .await;
    let client = client(settings(&vendor));
    let request = request(750..756, 2);

    let all = join_all((0..6).map(|_| client.fetch(&request))).await;

    for fetched in &all {
        assert_true(&vendor, &request, fetched);
    }
    assert!(
        vendor.report_count() <= 6 + 6,
        "{} reports",
        vendor.report_count()
    );
}

#[tokio::test]
async fn sites_of_one_name_are_never_mixed_and_then_one_report_suffices() {
    for mapping in [Mapping::Names, Mapping::Entities, Mapping::Empty] {
        let vendor = vendor(Quirks {
            mapping,
            names: (750..754)
                .map(|id| (id, "Main Street".to_owned()))
                .collect(),
            ..Quirks::default()
        })
        .await;
        let client = client(settings(&vendor));
        let request = request(750..758, 2);

        let first = client.fetch(&request).await;
        vendor.reset_counts();
        let second = client.fetch(&request).await;

        assert_true(&vendor, &request, &first);
        assert_true(&vendor, &request, &second);
        assert_eq!(vendor.report_count(), 1, "{mapping:?}");
    }
}

#[tokio::test]
async fn a_renamed_site_is_requested_alone_once() {
    let vendor = vendor(Quirks {
        mapping: Mapping::Empty,
        ..Quirks::default()
    })
    .await;
    let client = client(settings(&vendor));
    let request = request(750..754, 1);
    client.fetch(&request).await;
    let mut quirks = vendor.quirks();
    quirks.names.insert(751, "New Name".to_owned());
    vendor.set_quirks(quirks);
    vendor.reset_counts();

    let renamed = client.fetch(&request).await;
    let again = client.fetch(&request).await;

    assert_true(&vendor, &request, &renamed);
    assert_true(&vendor, &request, &again);
    assert_eq!((renamed.calls, again.calls), (2, 1));
}

#[tokio::test]
async fn cells_have_their_time_of_computation() {
    let vendor = vendor(Quirks::default()).await;
    let past = Upstream::new(settings(&vendor), Clock::system()).unwrap();

    let fetched = past.fetch(&request([750], 1)).await;

    let cell = &fetched.cells[0].1;
    assert!(cell.as_of() >= cell.fetched_at());
}

#[tokio::test]
async fn parts_of_dwell_times_are_weighted_even_if_only_dwell_times_are_requested() {
    for region_entities in [false, true] {
        let vendor = vendor(Quirks {
            regions: 3,
            region_entities,
            ..Quirks::default()
        })
        .await;
        let client = client(settings(&vendor));
        let dwell = |sites: std::ops::Range<u64>| {
            let mut request = request(sites, 2);
            request.metrics = MetricSet::default().with(VendorMetric::DwellTime);
            request
        };

        // At first the parts are unknown: the client requests the sites that prove to have some again.
        for (sites, calls) in [(750..751, 2), (751..756, 2), (750..756, 1)] {
            let request = dwell(sites);

            let fetched = client.fetch(&request).await;

            assert_true(&vendor, &request, &fetched);
            assert_eq!(fetched.calls, calls, "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_dwell_time_of_a_site_in_one_part_needs_no_weights() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    let mut request = request(750..756, 2);
    request.metrics = MetricSet::default().with(VendorMetric::DwellTime);

    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert_eq!(fetched.calls, 1);
    assert_eq!(fetched.cells.len(), request.cells().count(), "nothing else");
}
