//! Vendors with contradictory mappings, and with sites whose identities change.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::odd_vendors::{Answer, at_nine, odd_vendor, report, row};
use super::*;
use crate::upstream::credited_cells;

pub(super) const NOON: &str = "2026-11-20T12:00:00Z";

/// A client whose time advances by the returned minutes, and the vendor's count of calls.
pub(super) async fn client_of(answer: Answer) -> (Upstream, Arc<AtomicI64>, Arc<AtomicU32>) {
    let (settings, calls) = odd_vendor(answer).await;
    let minutes = Arc::new(AtomicI64::new(0));
    let shown = Arc::clone(&minutes);
    let clock = Clock::from_fn(move || {
        let noon: Timestamp = NOON.parse().unwrap();
        noon + SignedDuration::from_mins(shown.load(Ordering::SeqCst))
    });
    let client = Upstream::new(settings, clock).unwrap();
    (client, minutes, calls)
}

/// The figure of a site: its id.
fn figure(site: u64) -> f64 {
    f64::from(u32::try_from(site).unwrap())
}

pub(super) fn identity(entity: &str, name: &str) -> String {
    format!(r#""entity_id":"{entity}","site_name":"{name}","#)
}

/// Asserts that each site's figure is its own id; returns the number of calls.
async fn calls_for(client: &Upstream, sites: std::ops::Range<u64>) -> u32 {
    let fetched = client.fetch(&request(sites.clone(), 1)).await;
    let truth: Vec<_> = sites.map(|site| (site, Some(figure(site)))).collect();
    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    assert_eq!(at_nine(&fetched), truth);
    fetched.calls
}

/// Rows of entity `E<site>` and name `N<site>`.
fn plain_rows(sites: &[u64]) -> Vec<String> {
    sites
        .iter()
        .map(|site| row(&identity(&format!("E{site}"), &format!("N{site}")), *site))
        .collect()
}

#[tokio::test]
async fn a_contradictory_mapping_swaps_nothing_and_costs_single_sites_once() {
    let cases: [Answer; 5] = [
        |sites, _| report(&plain_rows(sites), r#"{"E1":1,"E2":2,"E1":2,"E2":1}"#),
        |sites, _| report(&plain_rows(sites), r#"{"N1":2,"N2":1,"N1":1,"N2":2}"#),
        |sites, _| {
            report(
                &plain_rows(sites),
                r#"{"1":"N2","2":"N1","1":"N1","2":"N2"}"#,
            )
        },
        |sites, _| report(&plain_rows(sites), r#"{"E1":2,"E2":2,"E1":1}"#),
        |sites, _| {
            let mapping = r#"[{"site_id":1,"entity_id":"E2"},{"site_id":2,"entity_id":"E2"}]"#;
            report(&plain_rows(sites), mapping)
        },
    ];
    for answer in cases {
        let (client, _, _) = client_of(answer).await;

        let first = calls_for(&client, 1..3).await;
        let second = calls_for(&client, 1..3).await;

        assert_eq!((first, second), (3, 1));
    }
}

#[tokio::test]
async fn a_possible_entity_of_a_contested_site_is_not_its_namesakes() {
    // Both are called "Same", but the mapping contains nothing trustworthy about the first one's names.
    let (client, _, _) = client_of(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&identity(&format!("E{site}"), "Same"), *site))
            .collect();
        report(
            &rows,
            r#"{"1":{"entity_id":"E1","name":"A"},"2":{"name":"Same"},"1":"E3"}"#,
        )
    })
    .await;

    let first = calls_for(&client, 1..3).await;
    let second = calls_for(&client, 1..3).await;

    // The mapping still gives the first one another name than its rows do.
    assert_eq!((first, second), (3, 2));
}

#[tokio::test]
async fn ids_of_both_sites_and_entities_are_read_in_neither_way() {
    let cases: [Answer; 3] = [
        // Each site's entity is its own id.
        |sites, _| {
            let rows: Vec<_> = sites
                .iter()
                .map(|site| row(&identity(&site.to_string(), "Same"), *site))
                .collect();
            report(&rows, r#"{"750":751,"751":750}"#)
        },
        // Each site's entity is the other's id, and the mapping names entities.
        |sites, _| {
            let rows: Vec<_> = sites
                .iter()
                .map(|site| {
                    let entity = (1501 - site).to_string();
                    row(&identity(&entity, &format!("N{site}")), *site)
                })
                .collect();
            report(&rows, r#"{"750":"N751","751":"N750"}"#)
        },
        // One site's entity is another one's name.
        |sites, _| {
            let rows: Vec<_> = sites
                .iter()
                .map(|site| match site {
                    750 => row(&identity("36655", "Tyler"), 750),
                    _ => row(&identity("9", "36655"), *site),
                })
                .collect();
            report(&rows, r#"{"751":"36655","750":"Tyler"}"#)
        },
    ];
    for answer in cases {
        let (client, _, _) = client_of(answer).await;

        calls_for(&client, 750..752).await;
        let second = calls_for(&client, 750..752).await;

        assert_eq!(second, 1);
    }
}

#[tokio::test]
async fn entities_as_texts_under_the_sites_are_proof_and_not_names() {
    let (client, minutes, _) = client_of(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| {
                row(
                    &identity(&(site + 35_905).to_string(), &format!("N{site}")),
                    *site,
                )
            })
            .collect();
        let entries: Vec<_> = sites
            .iter()
            .map(|site| format!(r#""{site}":"{}""#, site + 35_905))
            .collect();
        report(&rows, &format!("{{{}}}", entries.join(",")))
    })
    .await;

    for day in 0..5 {
        minutes.store(day * 24 * 60, Ordering::SeqCst);

        assert_eq!(calls_for(&client, 750..756).await, 1);
    }
    assert_eq!(
        client.site_name(customer(), site(750)).as_deref(),
        Some("N750")
    );
}

#[tokio::test]
async fn a_mapping_in_another_language_than_the_rows_renames_nothing() {
    let (client, _, _) = client_of(|sites, _| {
        report(
            &plain_rows(sites),
            r#"{"1":"T-1","2":"T-2","3":{"name":"T-3"}}"#,
        )
    })
    .await;

    let first = calls_for(&client, 1..4).await;
    let second = calls_for(&client, 1..4).await;

    assert_eq!((first, second), (4, 1));
    assert_eq!(client.site_name(customer(), site(2)).as_deref(), Some("N2"));
}

#[tokio::test]
async fn namesakes_with_exchanged_sensors_are_found_within_a_day_without_more_load() {
    static EXCHANGED: AtomicBool = AtomicBool::new(false);
    let (client, minutes, _) = client_of(|sites, _| {
        let entity = |site: u64| match site {
            1 | 2 if EXCHANGED.load(Ordering::SeqCst) => 3 - site,
            site => site,
        };
        let rows: Vec<_> = sites
            .iter()
            .map(|site| {
                row(
                    &identity(&format!("E{}", entity(*site)), "Main Street"),
                    *site,
                )
            })
            .collect();
        report(
            &rows,
            r#"{"1":"Main Street","2":"Main Street","3":"Main Street"}"#,
        )
    })
    .await;

    assert_eq!(calls_for(&client, 1..4).await, 4);
    assert_eq!(calls_for(&client, 1..4).await, 1);
    EXCHANGED.store(true, Ordering::SeqCst);
    minutes.store(24 * 60, Ordering::SeqCst);
    // Each is requested once, without any batch in addition.
    assert_eq!(calls_for(&client, 1..4).await, 3);
    for hour in 25..47 {
        minutes.store(hour * 60, Ordering::SeqCst);
        assert_eq!(calls_for(&client, 1..4).await, 1);
    }
    EXCHANGED.store(false, Ordering::SeqCst);
    minutes.store(48 * 60, Ordering::SeqCst);
    assert_eq!(calls_for(&client, 1..4).await, 3);
}

#[tokio::test]
async fn reports_that_meet_a_check_in_progress_wait_for_its_knowledge() {
    static EXCHANGED: AtomicBool = AtomicBool::new(false);
    let (client, minutes, _) = client_of(|sites, dates| {
        let entity = |site: u64| {
            if EXCHANGED.load(Ordering::SeqCst) {
                3 - site
            } else {
                site
            }
        };
        let rows: Vec<_> = sites
            .iter()
            .flat_map(|site| dates.iter().map(move |date| (*site, date)))
            .map(|(site, date)| {
                let fields = identity(&format!("E{}", entity(site)), "Same");
                format!(r#"{{"time":"{date} 09:00:00",{fields}"entrances":{site}}}"#)
            })
            .collect();
        report(&rows, "{}")
    })
    .await;
    client.fetch(&request(1..3, 1)).await;
    EXCHANGED.store(true, Ordering::SeqCst);
    minutes.store(25 * 60, Ordering::SeqCst);

    // Three reports of 31 days each, in parallel.
    let fetched = client.fetch(&request(1..3, 93)).await;

    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    for (key, cell) in &fetched.cells {
        assert_eq!(
            cell.figures().get(36),
            Some(figure(key.site.get())),
            "{key:?}"
        );
    }
    assert_eq!(
        fetched.calls,
        2 + 2,
        "the first 31 days alone, the rest together"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_requested_during_a_check_of_its_sites_waits_for_its_knowledge() {
    static EXCHANGED: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(true);
    let (client, minutes, calls) = client_of(|sites, _| {
        if let [_] = sites {
            // Outside the runtime, since this thread may be the one that drives its timers and sockets.
            tokio::task::block_in_place(|| {
                while !GO.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let entity = |site: u64| {
            if EXCHANGED.load(Ordering::SeqCst) {
                3 - site
            } else {
                site
            }
        };
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&identity(&format!("E{}", entity(*site)), "Same"), *site))
            .collect();
        report(&rows, "{}")
    })
    .await;
    assert_eq!(calls_for(&client, 1..3).await, 3);
    EXCHANGED.store(true, Ordering::SeqCst);
    GO.store(false, Ordering::SeqCst);
    minutes.store(25 * 60, Ordering::SeqCst);
    let client = Arc::new(client);
    let fetch = || {
        let client = Arc::clone(&client);
        tokio::spawn(async move { calls_for(&client, 1..3).await })
    };
    let check = fetch();
    while calls.load(Ordering::SeqCst) < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let mut batch = fetch();
    let early = tokio::time::timeout(Duration::from_millis(200), &mut batch).await;
    GO.store(true, Ordering::SeqCst);

    assert!(early.is_err(), "{early:?}");
    assert_eq!((check.await.unwrap(), batch.await.unwrap()), (2, 1));
}

#[tokio::test]
async fn a_purge_forgets_learned_knowledge_at_once() {
    static EXCHANGED: AtomicBool = AtomicBool::new(false);
    let (client, _, _) = client_of(|sites, _| {
        let entity = |site: u64| {
            if EXCHANGED.load(Ordering::SeqCst) {
                3 - site
            } else {
                site
            }
        };
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&identity(&format!("E{}", entity(*site)), "Same"), *site))
            .collect();
        report(&rows, "{}")
    })
    .await;
    calls_for(&client, 1..3).await;
    EXCHANGED.store(true, Ordering::SeqCst);

    client.forget(
        customer(),
        Some(&BTreeSet::from([site(1), site(2)])),
        Timestamp::now(),
    );
    assert!(client.known_sites(customer()).is_empty());
    calls_for(&client, 1..3).await;
    EXCHANGED.store(false, Ordering::SeqCst);
    client.forget(customer(), None, Timestamp::now());

    calls_for(&client, 1..3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_a_purge_overtakes_teaches_nothing() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    let (client, _, _) = client_of(|sites, _| {
        ASKED.store(true, Ordering::SeqCst);
        // Outside the runtime, since this thread may be the one that drives its timers and sockets.
        tokio::task::block_in_place(|| {
            while !GO.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        report(&plain_rows(sites), "{}")
    })
    .await;
    let client = Arc::new(client);
    let fetching = Arc::clone(&client);
    let fetch = tokio::spawn(async move { calls_for(&fetching, 1..3).await });
    while !ASKED.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    client.forget(
        customer(),
        Some(&BTreeSet::from([site(1)])),
        Timestamp::now(),
    );
    GO.store(true, Ordering::SeqCst);

    assert_eq!(fetch.await.unwrap(), 3);
    let known = client.known_sites(customer());
    assert_eq!(known, [(site(2), Some("N2".to_owned()))]);
}

#[tokio::test]
async fn names_are_counted_by_customer_and_only_if_they_were_shown() {
    static CORRECTED: AtomicBool = AtomicBool::new(false);
    let (client, _, _) = client_of(|_, _| {
        let name = if CORRECTED.load(Ordering::SeqCst) {
            "Tyler"
        } else {
            "Tiler"
        };
        report(&[row(&identity("E1", name), 1)], "{}")
    })
    .await;
    // Both in one chain.
    let other = CustomerId::new(customer().get() + 64).unwrap();
    let of_other = ReportRequest {
        customer: other,
        ..request(1..2, 1)
    };
    let counts = || {
        (
            client.names_changed(customer()),
            client.names_changed(other),
        )
    };

    client.fetch(&request(1..2, 1)).await;
    client.fetch(&of_other).await;
    let learned = counts();
    let _ = client.site_name(customer(), site(1));
    CORRECTED.store(true, Ordering::SeqCst);
    client.fetch(&of_other).await;
    let unseen = counts();
    client.fetch(&request(1..2, 1)).await;

    assert_eq!((learned, unseen), ((0, 0), (0, 0)));
    assert_eq!(counts(), (1, 0));
}

#[tokio::test]
async fn sites_that_no_batch_can_identify_are_requested_alone_for_a_day() {
    let (client, minutes, _) = client_of(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| match site {
                1 | 2 => row(r#""entity_id":"company","#, *site),
                _ => row(&identity(&format!("E{site}"), ""), *site),
            })
            .collect();
        report(&rows, r#"{"E3":3,"E4":4}"#)
    })
    .await;

    let mut calls = Vec::new();
    for hour in [0, 1, 23, 25] {
        minutes.store(hour * 60, Ordering::SeqCst);
        calls.push(calls_for(&client, 1..5).await);
    }

    // The batch of the other two, and each of these; after a day the whole batch is tried again.
    assert_eq!(calls[1..3], [3, 3]);
    assert!(calls[0] <= 5 && calls[3] <= 5, "{calls:?}");
}

#[tokio::test]
async fn an_entity_learned_alone_is_not_mistaken_for_that_of_an_unseen_site() {
    let (client, _, _) = client_of(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(r#""entity_id":"company","#, *site))
            .collect();
        report(&rows, "{}")
    })
    .await;
    calls_for(&client, 1..2).await;

    calls_for(&client, 1..3).await;
}

#[tokio::test]
async fn an_answer_for_one_site_with_only_rows_of_another_is_refused() {
    let cases: [Answer; 3] = [
        |_, _| report(&[row(&identity("E2", "N2"), 2)], r#"{"E2":2}"#),
        |_, _| report(&[row(&identity("E2", "N2"), 2)], r#"{"1":"N1","2":"N2"}"#),
        // One of two entities is mapped, and the other has another name.
        |_, _| {
            let rows = [row(&identity("E1", "N1"), 1), row(&identity("E2", "N2"), 2)];
            report(&rows, r#"{"E1":1}"#)
        },
    ];
    for answer in cases {
        let (client, _, _) = client_of(answer).await;

        let fetched = client.fetch(&request([1], 1)).await;

        assert!(matches!(only_error(&fetched), UpstreamError::Untrusted(_)));
    }
}

/// A statement of a mapping about a site, true or false depending on its arguments.
fn statement(shape: u8, site: u64, entity: &str, name: &str) -> Option<(String, String)> {
    let text = |text: &str| format!("\"{text}\"");
    Some(match shape {
        0 => (entity.into(), site.to_string()),
        1 => (entity.into(), text(&site.to_string())),
        2 => (site.to_string(), text(entity)),
        3 => (site.to_string(), text(name)),
        4 => (site.to_string(), format!(r#"{{"name":"{name}"}}"#)),
        5 => (site.to_string(), format!(r#"{{"entity_id":"{entity}"}}"#)),
        6 => (name.into(), site.to_string()),
        7 => (entity.into(), format!(r#"{{"id":{site}}}"#)),
        8 if entity.bytes().all(|byte| byte.is_ascii_digit()) => (site.to_string(), entity.into()),
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The entities and names equal those of other sites, site ids and one another; the mapping contains the truth about some sites, and
    /// lies under the same keys.
    #[test]
    fn no_figure_reaches_another_site_whatever_the_mapping_repeats(
        entities in Just(["1", "2", "3", "4", "36655", "36656", "A", "e"]).prop_shuffle(),
        names in prop::array::uniform4(prop::sample::select(vec!["A", "B", "C", "D", "1", "2", "36655", "e"])),
        truths in prop::collection::vec((0_usize..4, 0_u8..10), 0..8),
        lies in prop::collection::vec((0_usize..8, 0_usize..4), 0..4),
        silent in prop::option::of(0_usize..4),
        shuffle in any::<prop::sample::Index>(),
    ) {
        // For a site without rows, nothing shows that its name is not another one's entity.
        let untellable = |site: usize| {
            (0..4).any(|other| entities[other] == names[site] || names[other] == entities[site])
        };
        let untellable = silent.filter(|site| untellable(*site));
        let said = |shape: u8, site: usize, of: usize| {
            if [Some(site), Some(of)].contains(&untellable) {
                return None;
            }
            statement(shape, site as u64 + 1, entities[of], names[of])
        };
        let mut entries: Vec<_> = truths
            .iter()
            .filter_map(|(site, shape)| said(*shape, *site, *site))
            .collect();
        for (truth, other) in &lies {
            let Some((site, shape)) = truths.get(*truth) else { continue };
            let Some((key, _)) = said(*shape, *site, *site) else { continue };
            let value = if key == (site + 1).to_string() {
                said(*shape, *site, *other)
            } else {
                said(*shape, *other, *site)
            };
            entries.extend(value.map(|(_, value)| (key, value)));
        }
        let middle = shuffle.index(entries.len() + 1);
        entries.rotate_left(middle);
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| format!(r#""{key}":{value}"#))
            .collect();
        let rows: Vec<_> = (0..4)
            .filter(|site| Some(*site) != silent)
            .map(|site| row(&identity(entities[site], names[site]), site as u64 + 1))
            .collect();
        let body = report(&rows, &format!("{{{}}}", entries.join(",")));

        let cells = credited_cells([body.as_bytes()], &request(1..5, 1), &directory(), NOON.parse().unwrap());

        // An answer whose rows all belong to other sites, by their own account, is refused.
        for (key, cell) in cells.into_iter().flatten() {
            let own = key.site.get();
            let has_rows = silent.is_none_or(|silent| own != silent as u64 + 1);
            prop_assert_eq!(cell.figures().get(36), has_rows.then(|| figure(own)), "{}", body);
        }
    }
}
