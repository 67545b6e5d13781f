//! The state of the vendor and of our tokens, for readiness and operators.

/// The state of the vendor and of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Whether the vendor is called.
    pub circuit: CircuitState,
    /// Whether it takes our tokens.
    pub tokens: TokenState,
    /// Whether the newest tokens would outlive the process.
    pub token_store: TokenStoreState,
}

/// Whether the vendor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// It is.
    Closed,
    /// It kept failing, and is left alone.
    Open,
    /// One call probes whether it is well again.
    HalfOpen,
}

/// Whether the vendor takes our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is no ID token yet: the first one is being obtained.
    Pending,
    /// The ID token expired while nobody needed it: the next call renews it.
    Unused,
    /// We hold an ID token that has not expired.
    Valid,
    /// We hold an ID token, but nothing to renew it with.
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
    /// There is no token store: they are in memory only.
    Unset,
    /// The token store has them.
    Kept,
    /// The token store could not be written, and is tried again.
    Failing,
}
