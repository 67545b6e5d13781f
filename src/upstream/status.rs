//! The state of the vendor and our tokens, for readiness and operators.

/// The state of the vendor and of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// The state of the circuit to the vendor.
    pub circuit: CircuitState,
    /// Whether a pause that the vendor has requested (`Retry-After`) is not over.
    pub throttled: bool,
    /// Whether the vendor accepts our tokens.
    pub tokens: TokenState,
    /// Whether the newest tokens would outlive the process.
    pub token_store: TokenStoreState,
    /// Whether the replicas agree on the tokens.
    pub token_sharing: TokenSharingState,
}

named! {
    /// Whether the vendor is called.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum CircuitState {
        /// Calls go to the vendor.
        Closed = "closed",
        /// The vendor kept failing, and there are no calls.
        Open = "open",
        /// One call probes whether the vendor has recovered.
        HalfOpen = "half_open",
    }
}

named! {
    /// Whether the vendor accepts our tokens, in detail.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TokenState {
        /// There is no ID token yet: the first one is being obtained.
        Pending = "pending",
        /// The ID token expired while there were no calls: the next call renews it.
        Unused = "unused",
        /// We have an ID token that has not expired.
        Valid = "valid",
        /// We have an ID token, but nothing to renew it with.
        NotRenewable = "not_renewable",
        /// Renewing fails for now (5xx, timeout, garbage).
        RenewalFailing = "renewal_failing",
        /// The vendor refuses our refresh token or our fresh ID tokens.
        Refused = "refused",
        /// The only ID token we have has expired, and there is nothing to renew it with.
        Expired = "expired",
    }
}

named! {
    /// Whether the newest tokens would outlive the process.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TokenStoreState {
        /// There is no token store: the tokens are only in memory.
        Unset = "unset",
        /// A restart begins with the newest tokens: the token store has them, or is empty and they are the configured ones.
        Kept = "kept",
        /// The file of the token store cannot be read, and nothing has replaced it yet.
        Unreadable = "unreadable",
        /// The last write to the token store failed; retries follow.
        Failing = "failing",
    }
}

named! {
    /// Whether the replicas agree on the tokens.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TokenSharingState {
        /// Tokens are not shared.
        Unset = "unset",
        /// The shared store has the newest tokens.
        Shared = "shared",
        /// There is no unexpired ID token here, and another replica is renewing.
        Waiting = "waiting",
        /// The shared store may have lost writes a moment ago: no replica renews for some seconds, so that others can put back newer tokens.
        Quarantine = "quarantine",
        /// The shared store lacks the newest tokens, which this replica puts back.
        PuttingBack = "putting_back",
        /// A replica disappeared while it used the refresh token, which may be dead: no replica uses it again.
        InDoubt = "in_doubt",
        /// The shared store is away; the ID token is still fresh enough.
        Away = "away",
        /// The shared store is away, a renewal is due, and this replica must not renew alone, since the vendor rotates refresh tokens.
        Alone = "alone",
    }
}
