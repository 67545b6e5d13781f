use jiff::civil::date;

use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::figures::Figures;
use crate::domain::metric::{MetricSet, VendorMetric};

#[test]
fn what_was_refreshed_while_a_query_looked_is_not_refreshed_again() {
    let store: Arc<CellStore<(), ()>> = Arc::new(CellStore::new(1 << 20, Duration::from_hours(1)));
    let request = ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: vec![SiteId::new(1).unwrap()],
        dates: DateRange::day(date(2026, 1, 1)).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::HOUR,
    };
    let stale: Vec<CellKey> = request.cells().collect();
    let now = Timestamp::UNIX_EPOCH;
    let refresh = |looked_up_at, good| {
        store.claim_refresh(
            &stale,
            (looked_up_at, now),
            |_, _| good,
            |_| true,
            |_| vec![(request.clone(), ())],
        )
    };
    let looked_up_at = store.completions();

    for claimed in refresh(looked_up_at, false) {
        let cell = Cell::new(Figures::none(24), now, None);
        claimed.complete(vec![(stale[0], Ok(cell))], now);
    }

    assert!(refresh(looked_up_at, true).is_empty());
    assert_eq!(refresh(looked_up_at, false).len(), 1, "past its TTL again");
    assert_eq!(
        refresh(store.completions(), true).len(),
        1,
        "seen to be stale since"
    );
}

#[test]
fn whoever_finds_a_figure_while_it_is_being_forgotten_belongs_to_what_was_before() {
    const SITES: u64 = 2000;
    let store: Arc<CellStore<(), ()>> = Arc::new(CellStore::new(64 << 20, Duration::from_hours(1)));
    let customer = CustomerId::new(1).unwrap();
    let key = |site| CellKey {
        customer,
        site: SiteId::new(site).unwrap(),
        metric: VendorMetric::Entrances,
        bucket: VendorBucket::HOUR,
        date: date(2026, 1, 1),
    };
    let cell = Cell::new(Figures::none(24), Timestamp::UNIX_EPOCH, None);
    store.fill((1..=SITES).map(|site| (key(site), cell.clone())).collect());

    let everything = Purge {
        customers: [customer].into(),
        sites: None,
        dates: None,
    };
    let purging = std::thread::spawn({
        let store = Arc::clone(&store);
        move || store.purge(&everything)
    });
    let mut last_found = store.epoch();
    loop {
        let epoch = store.epoch();
        if (1..=SITES).all(|site| store.get(&key(site)).is_none()) {
            break;
        }
        last_found = epoch;
    }

    assert_eq!(purging.join().unwrap(), SITES);
    assert!(last_found < store.epoch());
}
