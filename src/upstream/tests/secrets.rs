//! No token and no body of the vendor's is logged, at any level.

use std::io::{self, Write};

use parking_lot::Mutex;

use super::*;
use crate::simulator::{Fault, FaultKind, Quirks, RowFault};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock();
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_and_no_text_of_the_vendor_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber, a call site that first logs on another thread sees only that thread's subscriber, which does not exist,
    // and is then off everywhere. So there are two.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let vendor = vendor(Quirks::default()).await;
    let mut secrets = vec![vendor.id_token(), vendor.refresh_token()];
    let settings = Settings {
        token_store: Some(folder.path().join("tokens.json")),
        send_token_on_refresh: true,
        ..settings(&vendor)
    };
    let shown = format!("{settings:?}");
    let client = client(settings);

    let mut shown_errors = Vec::new();
    for fault in [
        Fault::status(401).times(1),
        Fault::status(500).times(3),
        Fault::new(FaultKind::Unsuccessful).times(1),
        Fault::new(FaultKind::Html).times(1),
        Fault::new(FaultKind::Row(RowFault::Text)).times(1),
        Fault::status(500).on_tokens().times(1),
        Fault::new(FaultKind::Garbage).on_tokens().times(1),
    ] {
        vendor.inject(fault);
        vendor.expire_id_tokens();
        let fetched = client.fetch(&request([750], 1)).await;
        shown_errors.push(format!("{:?} {client:?}", fetched.failures));
        secrets.extend([vendor.id_token(), vendor.refresh_token()]);
    }

    let log = log.0.lock();
    let all = String::from_utf8_lossy(&log).into_owned() + &shown + &shown_errors.concat();
    assert!(all.contains("renewed the tokens"), "the log is on");
    secrets.push(simulator::MARKER.to_owned());
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn a_doubt_is_logged_with_its_site_and_date_and_too_large_a_figure_with_the_sites_name() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let (settings, _) = odd_vendors::odd_vendor(|sites, _| {
        let row = |count: &str| {
            let fields = r#""filter_id":"secret","site_name":"Tyler""#;
            format!(r#"{{"time":"2026-02-18 09:00:00","entrances":{count},{fields}}}"#)
        };
        let rows = match sites {
            [750] => [row("5"), row("8")],
            _ => [row("5"), row(&format!("1{}", "0".repeat(308)))],
        };
        odd_vendors::report(&rows, "{}")
    })
    .await;
    let client = client(settings);

    for site in [750, 751] {
        client.fetch(&request([site], 1)).await;
    }

    let log = log.0.lock();
    let log = String::from_utf8_lossy(&log);
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap();
    let doubt = line("the same row came with different figures");
    assert!(doubt.contains("WARN") && doubt.contains("site=750") && doubt.contains("2026-02-18"));
    let large = line("a figure is larger than 2^53 - 1");
    assert!(
        large.contains("site=751") && large.contains(r#"site_name="Tyler""#),
        "{large}"
    );
    assert!(!log.contains("secret"));
}
