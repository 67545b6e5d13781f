//! Any query string is either a query within the limits, or faults with explanations.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pitaya::domain::calendar::WeekStart;
use pitaya::domain::directory::SiteDirectory;
use pitaya::domain::fiscal::FiscalCalendar;
use pitaya::domain::query::Query;
use pitaya::domain::site::CustomerId;
use pitaya::http::params::{self, CacheParams, ParameterFault, Rejection, Scope, Terms, TrafficParams};
use pitaya::http::{Auth, DropIn, Settings};

fn settings(customers: &[CustomerId]) -> Settings {
    Settings {
        auth: Auth::Disabled,
        customers: customers.to_vec(),
        allowed_origins: Vec::new(),
        allows_local_origins: false,
        trusted_proxies: Vec::new(),
        http_max_age: Duration::from_mins(1),
        calendars: vec![FiscalCalendar::nrf().into()],
        week_start: WeekStart::default(),
        max_sites: 200,
        max_days: 366,
        max_rows: 200_000,
        request_timeout: Duration::from_secs(60),
        max_in_flight: 1024,
        dwell_time_unit: None,
        drop_in: DropIn::default(),
        separate_admin: false,
        warm_queries: Vec::new(),
        warm_before_open: None,
    }
}

/// Checks that there are faults, few and short enough for an answer, without characters that could break a line of a log.
fn check_faults(faults: &[ParameterFault]) {
    assert!((1..=100).contains(&faults.len()));
    for fault in faults {
        assert!(fault.parameter.len() <= 4096 && !fault.parameter.contains(char::is_control));
        assert!(
            (1..=4096).contains(&fault.detail.len()) && !fault.detail.contains(char::is_control)
        );
    }
}

fn check_query(query: &Query, settings: &Settings) {
    assert!((1..=settings.max_sites).contains(&query.sites.len()));
    assert!(query.sites.is_sorted_by(|one, next| one < next));
    assert!((1..=settings.max_days).contains(&query.dates.len()));
    assert!(!query.metrics.is_empty());
    assert!(query.hours.from() < query.hours.to() && query.hours.to() <= 48 * 60);
}

fuzz_target!(|text: &str| {
    let customers = [1, 2].map(|id| CustomerId::new(id).unwrap());
    let now: Timestamp = "2026-02-18T23:30:00Z".parse().unwrap();
    let directory = SiteDirectory::default();
    for customers in [&customers[..1], &customers[..]] {
        let settings = settings(customers);
        let terms = Terms {
            scope: Scope {
                customers,
                sites: None,
                tags: None,
            },
            directory: &directory,
            settings: &settings,
        };
        match TrafficParams::parse(Some(text), &terms) {
            Err(faults) => check_faults(&faults),
            Ok(params) => match params.resolve(&terms, now) {
                Ok(query) => check_query(&query, &settings),
                Err(Rejection::Faults(faults)) => check_faults(&faults),
                Err(Rejection::TooLarge(it)) => {
                    assert!(it.asked > it.allowed);
                    check_faults(&it.faults);
                }
                Err(Rejection::Forbidden) => {}
            },
        }
        match CacheParams::parse(Some(text)) {
            Err(faults) => check_faults(&faults),
            Ok(params) => {
                if let Ok(target) = params.resolve(&terms, now) {
                    let of_all = target.sites.values().flatten();
                    assert!(of_all.eq(customers));
                }
            }
        }
    }
    if let Err(faults) = params::parse_none(Some(text)) {
        check_faults(&faults);
    }
});
