//! No token and no body of the vendor's is ever logged, at any level.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::simulator::{Fault, FaultKind, Quirks, RowFault};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    // Where there is but one subscriber, an event is off for all threads if it first happens on one that has none, in another test.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
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

    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    let all = String::from_utf8_lossy(&log).into_owned() + &shown + &shown_errors.concat();
    assert!(all.contains("the tokens are renewed"), "the log is on");
    secrets.push(simulator::MARKER.to_owned());
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} in {all}");
    }
}
