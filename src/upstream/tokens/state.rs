//! The state of our tokens, and whether they may be renewed.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::store::Stored;
use crate::backoff::Backoff;
use crate::upstream::error::UpstreamError;
use crate::upstream::status::TokenState;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// After refused renewals, and refused fresh tokens.
const REFUSED: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_mins(1));
/// After temporary failures: shorter pauses, so that we recover soon after the vendor does.
const PASSING: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(5));

/// The part of an ID token's life after which it is renewed, ahead of its expiry.
const AHEAD: f64 = 0.8;
/// The same if replicas share the tokens: the other half leaves time to wait for the shared store.
const AHEAD_IF_SHARED: f64 = 0.5;

/// Claims and header fields round the time of issue down to whole seconds, so a token may be this much older than it seems.
const ROUNDING: Duration = Duration::from_secs(1);

/// An ID token to send, and its generation.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Token {
    /// The token itself.
    pub(in crate::upstream) secret: SecretString,
    /// Its generation: higher for later tokens.
    pub(in crate::upstream) generation: u64,
}

/// The time during which an ID token is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    received: Instant,
    life: Duration,
}

impl Term {
    /// The term of a token received at `received` with a life of `lifetime`.
    pub(super) fn new(received: Instant, lifetime: Duration) -> Self {
        Self {
            received,
            life: lifetime.saturating_sub(ROUNDING).max(lifetime / 2),
        }
    }

    /// Whether this part of its life is over.
    fn is_past(&self, part: f64, now: Instant) -> bool {
        now >= self.received + self.life.mul_f64(part)
    }

    /// The end of its use.
    fn expires_at(&self) -> Instant {
        self.received + self.life
    }
}

#[derive(Clone, Debug)]
struct HeldToken {
    token: Token,
    /// `None`: it has no expiry, and is used until the vendor refuses it.
    term: Option<Term>,
    /// Whether the vendor has accepted it.
    accepted: bool,
    /// Whether the vendor has refused it.
    refused: bool,
    /// Whether it was obtained in vain, as [`State`] explains.
    in_vain: bool,
}

/// The tokens, and the results of their renewals.
///
/// A 401 may concern the token or only the requested data, such as one site. So the state judges whether a renewal has helped. A token was
/// obtained *in vain* if the vendor refuses the call that caused the renewal again, or if it refused the previous token and accepts this
/// one from no call. A series of tokens obtained in vain causes ever longer pauses, even if other calls succeed meanwhile. It ends with a
/// token that the vendor has accepted and that was not in vain. A pause begins while its token is still fresh, and never exceeds a minute,
/// so a token that the vendor refuses after some time of use is renewed at once. While the vendor accepts our tokens, a pause does not
/// prevent renewals of old tokens.
#[derive(Debug, Default)]
pub(super) struct State {
    held: Option<HeldToken>,
    /// The newest refresh token.
    pub(super) refresh: Option<SecretString>,
    /// The fingerprint of the configured refresh token that the newest descends from.
    pub(super) lineage: Option<String>,
    /// Serial of the newest tokens in the token store.
    pub(super) serial: u64,
    /// Whether the configured refresh token has replaced a refused one since the last success.
    pub(super) fallback_spent: bool,
    /// Whether replicas share the tokens.
    pub(super) shared: bool,
    /// The newest tokens, if they could not be written to the token store.
    pub(super) unstored: Option<Stored>,
    generations: u64,
    trouble: Option<UpstreamError>,
    failures: u32,
    /// No renewal before this time, because the last one failed.
    not_before: Option<Instant>,
    /// Whether the vendor's last answer to an ID token of ours was a refusal.
    refused: bool,
    /// Number of tokens obtained in vain in a row.
    in_vain: u32,
    /// No renewal after a refusal before this time, because the last one was in vain.
    not_for_refusals_before: Option<Instant>,
}

/// The answer to a caller in need of an ID token.
#[derive(Debug)]
pub(super) enum Serve {
    /// A valid token; `due` if a background renewal is due.
    Token { token: Token, due: bool },
    /// No valid token: the caller needs one newer than this generation.
    Renew(u64),
}

impl State {
    /// No tokens yet, with the token store at `serial`.
    pub(super) fn new(serial: u64) -> Self {
        Self {
            serial,
            ..Self::default()
        }
    }

    /// Adopts the refresh token of `stored` as the newest.
    pub(super) fn continue_from(&mut self, stored: &Stored) {
        self.serial = stored.serial;
        self.lineage.clone_from(&stored.lineage);
        self.refresh = Some(stored.refresh.clone());
    }

    /// Adopts an ID token as the newest.
    pub(super) fn hold(&mut self, secret: SecretString, term: Option<Term>) -> Token {
        // Only now is it certain that the previous token was not in vain: other calls may succeed before the one that caused its renewal.
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.accepted && !held.in_vain)
        {
            self.in_vain = 0;
        }
        self.generations += 1;
        let token = Token {
            secret,
            generation: self.generations,
        };
        self.held = Some(HeldToken {
            token: token.clone(),
            term,
            accepted: false,
            refused: false,
            in_vain: false,
        });
        token
    }

    /// Serves a caller at `now`.
    pub(super) fn serve(&self, now: Instant) -> Serve {
        match self.valid(now) {
            Some(held) => {
                let due = self.is_due(held, now);
                let allowed = self.refresh.is_some() && !self.pauses_for_age(now);
                Serve::Token {
                    token: held.token.clone(),
                    due: due && allowed,
                }
            }
            None => Serve::Renew(self.generations),
        }
    }

    /// Whether there is no ID token to send at `now`, or one that is about to expire.
    pub(super) fn is_pressing(&self, now: Instant) -> bool {
        self.valid(now)
            .is_none_or(|held| held.term.is_some_and(|term| term.is_past(AHEAD, now)))
    }

    /// Whether there is an unexpired ID token, and whether the tokens are due to be renewed.
    pub(super) fn outlook(&self, now: Instant) -> (bool, bool) {
        match self.valid(now) {
            Some(held) => (true, self.is_due(held, now)),
            None => (false, true),
        }
    }

    fn is_due(&self, held: &HeldToken, now: Instant) -> bool {
        let ahead = if self.shared { AHEAD_IF_SHARED } else { AHEAD };
        held.term.is_some_and(|term| term.is_past(ahead, now))
    }

    /// The pause until the next renewal, after a failed one.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.not_before
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// The generation to renew from and the earliest time, if there is no unexpired ID token and a renewal may help. A refused refresh
    /// token is tried again only for a caller.
    pub(super) fn wanted(&self, now: Instant) -> Option<(u64, Instant)> {
        let wanted =
            self.refresh.is_some() && self.valid(now).is_none() && !self.renewal_is_refused();
        wanted.then(|| (self.generations, self.not_before.unwrap_or(now)))
    }

    /// The generation to renew from, if [`wanted`](Self::wanted) at once.
    pub(super) fn wanted_now(&self, now: Instant) -> Option<u64> {
        self.wanted(now)
            .filter(|(_, not_before)| *not_before <= now)
            .map(|(generation, _)| generation)
    }

    /// The ID token, if it is newer than `generation` and still valid.
    pub(super) fn newer_than(&self, generation: u64, now: Instant) -> Option<Token> {
        self.valid(now)
            .map(|held| held.token.clone())
            .filter(|token| token.generation > generation)
    }

    /// The newest ID token, expired or not.
    pub(super) fn newest(&self) -> Option<&SecretString> {
        self.held.as_ref().map(|held| &held.token.secret)
    }

    /// Checks that the tokens may be renewed at `now`, either after a refusal or because there is no unexpired token.
    ///
    /// # Errors
    ///
    /// The reason against it.
    pub(super) fn may_renew(&self, now: Instant) -> Result<(), UpstreamError> {
        let valid = self.valid(now).is_some();
        if self.refresh.is_none() {
            let why = if valid {
                "the vendor refuses the ID token, and there is no refresh token"
            } else {
                "the ID token has expired, and there is no refresh token"
            };
            return Err(UpstreamError::Credentials(why.to_owned()));
        }
        let pauses = if valid {
            self.pauses(now)
        } else {
            self.pauses_for_age(now)
        };
        if pauses {
            Err(self.trouble.clone().unwrap_or_else(|| {
                UpstreamError::Credentials("the vendor refuses fresh ID tokens".to_owned())
            }))
        } else {
            Ok(())
        }
    }

    /// Records that a renewal succeeded.
    pub(super) fn renewed(&mut self) {
        self.trouble = None;
        self.failures = 0;
        self.fallback_spent = false;
        self.not_before = None;
    }

    /// Records that the vendor has not answered a renewal in time; its answer may still come.
    pub(super) fn renewal_is_late(&mut self) {
        self.trouble = Some(UpstreamError::Timeout);
    }

    /// Records that a renewal failed; the next is allowed after a pause of at least `at_least`.
    pub(super) fn renewal_failed(
        &mut self,
        error: UpstreamError,
        now: Instant,
        at_least: Duration,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(error);
        let backoff = if self.renewal_is_refused() {
            REFUSED
        } else {
            PASSING
        };
        self.not_before = Some(now + backoff.after(self.failures).max(at_least));
    }

    /// Records that the vendor refused the ID token of `generation`; `again`: it had already refused the same call an older one.
    ///
    /// This allows a renewal at once, unless the token was obtained in vain, when another renewal would hardly help. A late refusal of a
    /// replaced token has no effect.
    pub(super) fn refused(&mut self, generation: u64, again: bool, now: Instant) {
        let held = self.held.as_mut();
        let Some(held) = held.filter(|held| held.token.generation == generation) else {
            return;
        };
        let first = !std::mem::replace(&mut held.refused, true);
        let like_the_one_before = std::mem::replace(&mut self.refused, true) && first;
        let in_vain = again || (like_the_one_before && !held.accepted);
        if in_vain && !std::mem::replace(&mut held.in_vain, true) {
            self.in_vain = self.in_vain.saturating_add(1);
            self.not_for_refusals_before = Some(now + REFUSED.after(self.in_vain));
        }
    }

    /// Records that the vendor accepted the ID token of `generation`.
    pub(super) fn accepted(&mut self, generation: u64) {
        let held = self.held.as_mut();
        if let Some(held) = held.filter(|held| held.token.generation == generation) {
            held.accepted = true;
            self.refused = false;
        }
    }

    /// Time until the ID token expires, zero after that; `None` if there is none, or it does not expire.
    pub(super) fn time_left(&self, now: Instant) -> Option<Duration> {
        let term = self.held.as_ref()?.term?;
        Some(term.expires_at().saturating_duration_since(now))
    }

    /// The state for readiness and operators.
    pub(super) fn token_state(&self, now: Instant) -> TokenState {
        let valid = self.valid(now).is_some();
        let refused = self.renewal_is_refused() || (self.refused && self.in_vain > 0);
        let hopeless = self.refresh.is_none() && self.refused;
        if refused || hopeless {
            TokenState::Refused
        } else if self.refresh.is_none() {
            if valid {
                TokenState::NotRenewable
            } else {
                TokenState::Expired
            }
        } else if self.trouble.is_some() {
            TokenState::RenewalFailing
        } else if valid {
            TokenState::Valid
        } else if self.held.is_none() {
            TokenState::Pending
        } else {
            TokenState::Unused
        }
    }

    fn valid(&self, now: Instant) -> Option<&HeldToken> {
        self.held
            .as_ref()
            .filter(|held| held.term.is_none_or(|term| now < term.expires_at()))
    }

    /// Whether the last renewal failed because the vendor refuses our refresh token.
    pub(super) const fn renewal_is_refused(&self) -> bool {
        matches!(self.trouble, Some(UpstreamError::Credentials(_)))
    }

    /// Whether a renewal after a refusal has to wait.
    fn pauses(&self, now: Instant) -> bool {
        let until = self.not_before.max(self.not_for_refusals_before);
        until.is_some_and(|until| now < until)
    }

    /// Whether a renewal of an old token has to wait. Pauses after refusals count only if the vendor accepts no token.
    fn pauses_for_age(&self, now: Instant) -> bool {
        let taken = !self.refused || self.held.as_ref().is_some_and(|held| held.accepted);
        if taken {
            self.not_before.is_some_and(|until| now < until)
        } else {
            self.pauses(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(now: Instant) -> State {
        let mut state = State {
            refresh: Some("refresh".into()),
            ..State::default()
        };
        state.hold("id".into(), Some(Term::new(now, Duration::from_secs(101))));
        state
    }

    fn served(state: &State, now: Instant) -> Option<(u64, bool)> {
        match state.serve(now) {
            Serve::Token { token, due } => Some((token.generation, due)),
            Serve::Renew(_) => None,
        }
    }

    #[test]
    fn a_token_is_renewed_in_the_background_before_it_expires() {
        let now = Instant::now();
        let state = state(now);
        let after = |seconds| now + Duration::from_secs(seconds);

        assert_eq!(State::new(0).token_state(now), TokenState::Expired);
        assert_eq!(state.token_state(now), TokenState::Valid);
        assert_eq!(served(&state, after(79)), Some((1, false)));
        assert_eq!(served(&state, after(80)), Some((1, true)));
        assert_eq!(state.token_state(after(80)), TokenState::Valid);
        assert_eq!(served(&state, after(100)), None);
        assert_eq!(state.token_state(after(100)), TokenState::Unused);
    }

    #[test]
    fn a_shared_token_is_renewed_at_half_life_and_pressing_later() {
        let now = Instant::now();
        let mut state = state(now);
        state.shared = true;
        let after = |seconds| now + Duration::from_secs(seconds);

        assert_eq!(served(&state, after(49)), Some((1, false)));
        assert_eq!(served(&state, after(50)), Some((1, true)));
        assert!(!state.is_pressing(after(79)));
        assert!(state.is_pressing(after(80)));
        assert!(state.is_pressing(after(100)));
        assert_eq!(state.outlook(after(49)), (true, false));
        assert_eq!(state.outlook(after(50)), (true, true));
        assert_eq!(state.outlook(after(100)), (false, true));
    }

    #[test]
    fn tokens_are_wanted_while_there_are_none_and_the_vendor_may_still_issue_them() {
        let now = Instant::now();
        let mut state = State {
            refresh: Some("refresh".into()),
            ..State::default()
        };
        assert_eq!(state.token_state(now), TokenState::Pending);
        assert_eq!(state.wanted(now), Some((0, now)));

        state.renewal_failed(UpstreamError::Status(503), now, Duration::ZERO);
        assert_eq!(state.wanted(now), Some((0, now + FIRST_PAUSE)));
        assert_eq!(state.may_renew(now + FIRST_PAUSE), Ok(()));
        state.renewal_failed(
            UpstreamError::Credentials(String::new()),
            now,
            Duration::ZERO,
        );
        assert_eq!(state.wanted(now), None);

        state.renewed();
        state.hold("id".into(), Some(Term::new(now, Duration::from_secs(101))));
        assert_eq!(state.wanted(now), None);
        state.refresh = None;
        assert_eq!(state.wanted(now + Duration::from_secs(101)), None);
    }

    #[test]
    fn a_token_may_be_a_second_older_than_it_seems() {
        let now = Instant::now();
        let serves = |seconds| Term::new(now, Duration::from_secs(seconds)).expires_at() - now;

        assert_eq!(serves(3600), Duration::from_secs(3599));
        assert_eq!(serves(3), Duration::from_secs(2));
        assert_eq!(serves(1), Duration::from_millis(500));
    }

    #[test]
    fn renewals_become_rarer_while_the_vendor_refuses_fresh_tokens() {
        let start = Instant::now();
        let mut state = state(start);
        let mut renewals = Vec::new();

        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            let Serve::Token { token, .. } = state.serve(start) else {
                panic!("a token is held");
            };
            state.refused(token.generation, false, now);
            if state.may_renew(now).is_ok() {
                renewals.push(second);
                let fresh = state.hold("fresh".into(), None);
                state.renewed();
                state.refused(fresh.generation, false, now);
            }
        }

        assert_eq!(
            renewals,
            [
                0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543
            ]
        );
        assert_eq!(state.token_state(start), TokenState::Refused);
        state.accepted(state.generations);
        assert_eq!(state.token_state(start), TokenState::Valid);
    }

    /// Lets a call fail with the newest token, and again with the renewed one, if a renewal is allowed; returns whether it is. Other
    /// calls succeed in between.
    fn asked_in_vain(state: &mut State, now: Instant) -> bool {
        let newest = state.generations;
        state.accepted(newest);
        state.refused(newest, false, now);
        state.accepted(newest);
        let renewed = state.may_renew(now).is_ok();
        if renewed {
            let fresh = state.hold("fresh".into(), None).generation;
            state.renewed();
            state.accepted(fresh);
            state.refused(fresh, true, now);
        }
        renewed
    }

    #[test]
    fn renewals_for_one_refused_call_become_rarer_even_if_other_calls_succeed() {
        let start = Instant::now();
        let mut state = state(start);

        let renewals: Vec<u64> = (0..300)
            .filter(|second| asked_in_vain(&mut state, start + Duration::from_secs(*second)))
            .collect();

        assert_eq!(renewals, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }

    #[test]
    fn a_token_refused_after_some_time_of_use_is_renewed_at_once() {
        let start = Instant::now();
        let mut state = state(start);
        for second in 0..300 {
            asked_in_vain(&mut state, start + Duration::from_secs(second));
        }
        let later = start + Duration::from_mins(10);
        state.accepted(state.generations);

        state.refused(state.generations, false, later);
        assert_eq!(state.may_renew(later), Ok(()));

        // Again, as often as it helps.
        for _ in 0..3 {
            let fresh = state.hold("fresh".into(), None).generation;
            state.renewed();
            state.accepted(fresh);
            state.refused(fresh, false, later);
            assert_eq!(state.may_renew(later), Ok(()));
        }
        let fresh = state.hold("fresh".into(), None).generation;
        state.refused(fresh, true, later);
        assert!(state.may_renew(later).is_err());
        assert_eq!(state.may_renew(later + FIRST_PAUSE), Ok(()));
    }

    #[test]
    fn an_accepted_token_is_renewed_for_age_even_if_other_calls_are_refused() {
        let start = Instant::now();
        let mut state = state(start);
        for second in 0..100 {
            asked_in_vain(&mut state, start + Duration::from_secs(second));
        }
        state.refused(state.generations, false, start);
        let now = start + Duration::from_secs(64);
        let term = Some(Term::new(now, Duration::from_secs(11)));
        let fresh = state.hold("fresh".into(), term).generation;
        let (due, expired) = (now + Duration::from_secs(8), now + Duration::from_secs(10));

        assert_eq!(served(&state, due), Some((fresh, false)));
        assert!(state.may_renew(expired).is_err());
        state.accepted(fresh);

        assert_eq!(served(&state, due), Some((fresh, true)));
        assert!(state.may_renew(due).is_err(), "for a refusal");
        assert_eq!(state.may_renew(expired), Ok(()));
    }

    #[test]
    fn a_late_refusal_of_an_old_token_has_no_effect() {
        let now = Instant::now();
        let mut state = state(now);
        state.refused(1, false, now);
        state.hold("fresh".into(), None);
        state.renewed();

        state.refused(1, false, now);
        state.refused(1, true, now);

        assert_eq!(state.may_renew(now), Ok(()));
        assert_eq!(state.newer_than(1, now).unwrap().generation, 2);
        assert!(state.newer_than(2, now).is_none());
    }

    #[test]
    fn after_a_failed_renewal_there_is_a_pause_and_the_old_token_still_serves() {
        let now = Instant::now();
        let mut state = state(now);
        let due = now + Duration::from_secs(90);

        state.renewal_failed(UpstreamError::Status(503), due, Duration::ZERO);

        assert_eq!(served(&state, due), Some((1, false)));
        assert_eq!(state.token_state(due), TokenState::RenewalFailing);
        assert_eq!(state.may_renew(due), Err(UpstreamError::Status(503)));
        assert_eq!(state.may_renew(due + FIRST_PAUSE), Ok(()));
        let refused = UpstreamError::Credentials(String::new());
        state.renewal_failed(refused, due, Duration::from_secs(9));
        assert_eq!(state.token_state(due), TokenState::Refused);
        assert!(state.may_renew(due + Duration::from_secs(8)).is_err());
    }

    #[test]
    fn without_a_refresh_token_the_id_token_serves_until_it_expires() {
        let now = Instant::now();
        let mut state = state(now);
        state.refresh = None;
        let late = now + Duration::from_secs(100);

        assert_eq!(
            served(&state, now + Duration::from_secs(90)),
            Some((1, false))
        );
        assert_eq!(state.token_state(now), TokenState::NotRenewable);
        assert_eq!(served(&state, late), None);
        assert_eq!(state.token_state(late), TokenState::Expired);
        assert!(matches!(
            state.may_renew(late),
            Err(UpstreamError::Credentials(_))
        ));
    }
}
