mod threads;
mod zones;

use std::time::Duration;

use jiff::civil::date;

use super::*;
use crate::cache::ClaimedFetch;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::ReportRequest;
use crate::domain::figures::Figures;
use crate::domain::metric::{MetricSet, VendorMetric};
use crate::domain::page::{Page, PageDays};
use crate::domain::site::{CustomerId, SiteId};

type Store = Arc<CellStore<(), ()>>;

fn store() -> Store {
    Arc::new(CellStore::new(64 << 20))
}

fn report(sites: impl IntoIterator<Item = u64>, from: Date, to: Date) -> ReportRequest {
    ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: sites.into_iter().filter_map(SiteId::new).collect(),
        dates: DateRange::new(from, to).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::HOUR,
    }
}

fn everything() -> Purge {
    Purge {
        customers: [CustomerId::new(1).unwrap()].into(),
        sites: None,
        dates: None,
    }
}

fn at(second: i64) -> Cell {
    let fetched_at = Timestamp::from_second(second).unwrap();
    Cell::new(Figures::none(24), fetched_at, None)
}

/// The knowledge of a query that looks up its cells now.
fn looked_up(store: &Store) -> LookedUp {
    LookedUp {
        completions: store.completions(),
        shape: store.shape(),
    }
}

/// Claims all of a report's cells for a query that has just looked.
fn claim(store: &Store, request: &ReportRequest) -> Claim<(), ()> {
    let claim = store.claim(request.cells(), looked_up(store), (), |_| Ok::<_, ()>(()));
    claim.unwrap()
}

/// Splits a claim of `request` into a report for each of its sites.
fn split(
    mine: ClaimedCells<(), ()>,
    request: &ReportRequest,
) -> Vec<(ClaimedFetch<(), ()>, Fetch<(), ()>)> {
    let sites = request.sites.iter();
    let plan = sites.map(|site| (request.with_sites(vec![*site]), ()));
    mine.split(&[], |_| plan.collect())
}

fn complete(claimed: ClaimedFetch<(), ()>, second: i64) {
    let cells = claimed.request().cells().map(|key| (key, Ok(at(second))));
    let cells = cells.collect();
    claimed.complete(cells, Timestamp::from_second(second).unwrap(), |_, _| false);
}

#[test]
fn what_was_refreshed_while_a_query_looked_is_not_refreshed_again() {
    let store = store();
    let request = report([1], date(2026, 1, 1), date(2026, 1, 1));
    let stale: Vec<CellKey> = request.cells().collect();
    let now = Timestamp::UNIX_EPOCH;
    let refresh = |looked_up, good| {
        let mine = store.claim_refresh(&stale, (looked_up, now), (), |_| true);
        let mine = mine.unwrap();
        let found = mine.look_again(|_, _| good);
        mine.split(&found, |missing| {
            assert_eq!(missing, stale);
            vec![(request.clone(), ())]
        })
    };
    let before = looked_up(&store);

    for (claimed, _) in refresh(before, false) {
        complete(claimed, 0);
    }

    assert!(refresh(before, true).is_empty());
    assert_eq!(refresh(before, false).len(), 1, "past its TTL again");
    assert_eq!(
        refresh(looked_up(&store), true).len(),
        1,
        "seen to be stale since"
    );
}

#[test]
fn whoever_finds_a_figure_while_it_is_being_forgotten_belongs_to_what_was_before() {
    const SITES: u64 = 2000;
    let store = store();
    let request = report(1..=SITES, date(2026, 1, 1), date(2026, 1, 1));
    let claim = claim(&store, &request);
    let fetches = claim
        .mine
        .unwrap()
        .split(&[], |_| vec![(request.clone(), ())]);
    for (claimed, _) in fetches {
        complete(claimed, 0);
    }

    let purging = std::thread::spawn({
        let store = Arc::clone(&store);
        move || store.purge(&everything())
    });
    let mut last_found = store.epoch();
    loop {
        let epoch = store.epoch();
        if request.cells().all(|key| store.get(&key).is_none()) {
            break;
        }
        last_found = epoch;
    }

    assert_eq!(purging.join().unwrap(), SITES);
    assert!(last_found < store.epoch());
}

#[tokio::test]
async fn a_claim_that_is_joined_before_it_is_split_leads_on_to_its_reports() {
    let store = store();
    let request = report([1, 2], date(2026, 1, 30), date(2026, 2, 2));

    let first = claim(&store, &request).mine.unwrap();
    let mut second = claim(&store, &request);
    let fetches = split(first, &request);
    let third = claim(&store, &request);

    assert!(second.mine.is_none() && third.mine.is_none());
    assert_eq!((second.joined.len(), third.joined.len()), (1, 2));
    let split = second.joined[0].wait().await.unwrap();
    assert!(split.outcomes.is_empty());
    assert_eq!(split.onward.len(), 2);
    assert!(second.joined[0].is_under_way());
    for (claimed, _) in fetches {
        complete(claimed, 1);
    }
    for fetch in &split.onward {
        let outcome = fetch.clone().wait().await.unwrap();
        let cells: Vec<CellKey> = outcome.outcomes.iter().map(|(key, _)| *key).collect();
        assert_eq!(cells, fetch.cells().collect::<Vec<_>>());
    }
    assert!(!second.joined[0].is_under_way());
}

/// The cells of a month of a report, as a tier hands them over.
fn kept(request: &ReportRequest, second: i64) -> PageDays {
    let first = request.cells().next().unwrap();
    let cells = request.cells().map(|key| (key.date, at(second)));
    let page = Arc::new(Page::of(cells));
    PageDays {
        month: SeriesMonth::of(&first),
        days: page.days(),
        page,
    }
}

#[tokio::test]
async fn waiters_hear_of_all_their_cells_before_those_who_join_later() {
    let store = store();
    let request = report([1], date(2026, 1, 1), date(2026, 1, 9));
    let mut mine = claim(&store, &request).mine.unwrap();
    let (mut waiter, kept) = (mine.waiter(), [kept(&request, 5)]);

    mine.fill(&kept, Some(&kept), Vec::new(), |_, _| true);
    let again = claim(&store, &request);

    assert_eq!(
        waiter.wait().await.unwrap().found.as_ref().unwrap().len(),
        1
    );
    let [mut late] = again.joined.try_into().unwrap();
    assert!(again.mine.is_none() && late.is_under_way());
    assert!(mine.split(&kept, |_| Vec::new()).is_empty());
    assert_eq!(late.wait().await.unwrap().found.as_ref().unwrap().len(), 1);
    assert_eq!(store.cells(), 9);
}

#[test]
fn nobody_hears_of_a_newer_cell_while_a_kept_answer_shows_the_older_one() {
    let store = store();
    let request = report([1], date(2026, 1, 1), date(2026, 1, 9));
    for (claimed, _) in split(claim(&store, &request).mine.unwrap(), &request) {
        complete(claimed, 1);
    }
    let (mut mine, epoch) = (claim(&store, &request).mine.unwrap(), store.epoch());
    let (waiter, kept) = (mine.waiter(), [kept(&request, 5)]);

    mine.fill(&kept, Some(&kept), Vec::new(), |_, _| true);

    assert!(waiter.is_under_way());
    assert_eq!(store.epoch(), epoch + 1);
}

#[tokio::test]
async fn a_claim_that_is_given_up_tells_those_who_joined_it_and_frees_its_cells() {
    let store = store();
    let request = report([1], date(2026, 1, 30), date(2026, 2, 2));
    let first = claim(&store, &request);
    let mut second = claim(&store, &request);

    drop(first);

    assert!(second.joined[0].wait().await.is_none());
    assert!(claim(&store, &request).mine.is_some());
}

#[test]
fn what_is_kept_before_the_claim_is_split_or_after_is_made_though_nobody_waits() {
    for (before, after, made) in [
        (false, false, false),
        (true, false, true),
        (false, true, true),
    ] {
        let store = store();
        let request = report([1, 2], date(2026, 1, 1), date(2026, 1, 1));
        let first = claim(&store, &request).mine.unwrap();
        let second = claim(&store, &request);
        if before {
            second.joined[0].keep();
        }
        let fetches = split(first, &request);
        if after {
            second.joined[0].keep();
        }
        drop(second);

        for (claimed, waiter) in fetches {
            drop(waiter);
            assert_eq!(claimed.begin(), made, "{before} {after}");
        }
    }
}

#[test]
fn a_purge_takes_its_days_from_a_claim_and_from_the_reports_that_this_is_split_into() {
    let store = store();
    let request = report([1], date(2026, 1, 30), date(2026, 2, 2));
    let day = |day: Date| Purge {
        dates: DateRange::day(day),
        ..everything()
    };

    let mine = claim(&store, &request).mine.unwrap();
    store.purge(&day(date(2026, 1, 31)));
    let fetches = split(mine, &request);
    store.purge(&day(date(2026, 2, 2)));
    let again = claim(&store, &request);
    for (claimed, _) in fetches {
        complete(claimed, 1);
    }

    let held = request.cells().filter(|key| store.get(key).is_some());
    let held: Vec<Date> = held.map(|key| key.date).collect();
    assert_eq!(held, [date(2026, 1, 30), date(2026, 2, 1)]);
    let plan = |missing: &[CellKey]| {
        let dates: Vec<Date> = missing.iter().map(|key| key.date).collect();
        assert_eq!(dates, [date(2026, 1, 31), date(2026, 2, 2)]);
        Vec::new()
    };
    assert!(again.mine.unwrap().split(&[], plan).is_empty());
}

#[test]
fn a_purge_comes_after_a_fetch_that_is_putting_its_page_in() {
    let store = store();
    let request = report([1], date(2026, 1, 1), date(2026, 1, 1));
    let key = request.cells().next().unwrap();
    let _fetches = split(claim(&store, &request).mine.unwrap(), &request);

    let mut purging = None;
    store.shared.pages.put(SeriesMonth::of(&key), || {
        let (epoch, purged) = (store.epoch(), Arc::clone(&store));
        purging = Some(std::thread::spawn(move || purged.purge(&everything())));
        // A purge that missed this page would soon end.
        for _ in 0..20 {
            if store.epoch() != epoch {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Arc::new(Page::of([(key.date, at(1))]))
    });

    assert_eq!(purging.unwrap().join().unwrap(), 1);
    assert!(store.get(&key).is_none());
}

#[test]
fn nothing_is_claimed_of_what_is_not_admitted() {
    let store = store();
    let request = report([1, 2], date(2026, 1, 1), date(2026, 1, 31));
    let held = report([1], date(2026, 1, 5), date(2026, 1, 6));
    let _held = claim(&store, &held).mine.unwrap();

    let refused = store.claim(request.cells(), looked_up(&store), (), |cells| {
        assert_eq!(cells, 60);
        Err(())
    });

    assert!(refused.is_err());
    let admitted = store.claim(request.cells(), looked_up(&store), (), |cells| {
        assert_eq!(cells, 60);
        Ok::<_, ()>(())
    });
    assert_eq!(admitted.unwrap().joined.len(), 1);
}

#[test]
fn what_serves_for_nothing_any_more_is_freed_and_nothing_else() {
    let store = store();
    let fill = |site, day, second| {
        let request = report([site], date(2026, 1, day), date(2026, 1, day));
        for (claimed, _) in split(claim(&store, &request).mine.unwrap(), &request) {
            complete(claimed, second);
        }
        request.cells().next().unwrap()
    };
    let (first, second, later) = (fill(1, 1, 10), fill(2, 1, 10), fill(2, 2, 20));

    store.drop_older_than(Timestamp::from_second(15).unwrap());

    assert!(store.get(&first).is_none());
    assert!(store.get(&second).is_some(), "a month is freed as a whole");
    assert!(store.get(&later).is_some());
    store.drop_older_than(Timestamp::from_second(21).unwrap());
    assert_eq!(store.cells(), 0);
}
