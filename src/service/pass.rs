//! Requests that cells cannot answer, passed on to the vendor as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::TrafficService;
use crate::domain::site::CustomerId;
use crate::upstream::{Client, Passed, PassedBody, UpstreamError};

impl TrafficService {
    /// Sends the body of a report call to the vendor, once, when the turn of `client` comes.
    pub async fn pass_report(
        &self,
        customer: CustomerId,
        client: Client,
        body: Bytes,
        patience: Duration,
    ) -> Result<Passed, Arc<UpstreamError>> {
        let passed = self
            .engine
            .upstream
            .pass_report(customer, client, body, patience);
        passed.await.map_err(Arc::new)
    }

    /// Sends an import of sites to the vendor, once, while its body arrives, which may take `patience`.
    pub async fn import_sites(
        &self,
        customer: CustomerId,
        content_type: HeaderValue,
        body: PassedBody,
        patience: Duration,
    ) -> Result<Passed, Arc<UpstreamError>> {
        let upstream = &self.engine.upstream;
        let imported = upstream.import_sites(customer, content_type, body, patience);
        imported.await.map_err(Arc::new)
    }
}
