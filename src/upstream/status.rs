//! The state of the vendor and our tokens, for readiness and operators.

/// The state of the vendor and of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// The state of the circuit to the vendor.
    pub circuit: CircuitState,
    /// Whether the vendor accepts our tokens.
    pub tokens: TokenState,
    /// Whether the newest tokens would outlive the process.
    pub token_store: TokenStoreState,
}

/// Whether the vendor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go to the vendor.
    Closed,
    /// The vendor kept failing, and there are no calls.
    Open,
    /// One call probes whether the vendor has recovered.
    HalfOpen,
}

/// Whether the vendor accepts our tokens, in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is no ID token yet: the first one is being obtained.
    Pending,
    /// The ID token expired while there were no calls: the next call renews it.
    Unused,
    /// We have an ID token that has not expired.
    Valid,
    /// We have an ID token, but nothing to renew it with.
    NotRenewable,
    /// Renewing fails for now (5xx, timeout, garbage).
    RenewalFailing,
    /// The vendor refuses our refresh token or our fresh ID tokens.
    Refused,
    /// The only ID token we have has expired, and there is nothing to renew it with.
    Expired,
}

/// Whether the newest tokens would outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStoreState {
    /// There is no token store: the tokens are only in memory.
    Unset,
    /// The token store has the newest tokens.
    Kept,
    /// The last write to the token store failed; retries follow.
    Failing,
}
