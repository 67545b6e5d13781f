//! What is known of our tokens at a moment, and whether they may be renewed.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::upstream::error::UpstreamError;
use crate::upstream::status::TokenState;

/// Renewals that fail, and fresh tokens that are refused, are followed by pauses from this on, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A failure that passes is not waited out for longer than this, so that we are back soon after the vendor is.
const LONGEST_PASSING_PAUSE: Duration = Duration::from_secs(5);

/// Claims and header fields tell when a token was issued in whole seconds, cut off: it may be that much older than it seems.
const ROUNDING: Duration = Duration::from_secs(1);

/// An ID token to send, and which one it is.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Token {
    /// The token itself.
    pub(in crate::upstream) secret: SecretString,
    /// Later tokens have higher ones.
    pub(in crate::upstream) generation: u64,
}

/// How long an ID token serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// From here on it is renewed behind.
    pub(super) renew_at: Instant,
    /// From here on it no longer serves.
    pub(super) expires_at: Instant,
}

impl Term {
    /// The term of a token that was received at `received` and lives for `lifetime`, renewed when a fifth of it is left.
    pub(super) fn new(received: Instant, lifetime: Duration) -> Self {
        let sure = lifetime.saturating_sub(ROUNDING).max(lifetime / 2);
        Self {
            renew_at: received + sure.mul_f64(0.8),
            expires_at: received + sure,
        }
    }
}

#[derive(Clone, Debug)]
struct HeldToken {
    token: Token,
    /// `None`: it does not say, and serves until it is refused.
    term: Option<Term>,
}

/// The tokens, and how renewing them fares.
#[derive(Debug, Default)]
pub(super) struct State {
    held: Option<HeldToken>,
    /// The newest refresh token.
    pub(super) refresh: Option<SecretString>,
    /// The fingerprint of the configured refresh token that the newest descends from.
    pub(super) lineage: Option<String>,
    /// The token store's serial that the newest tokens have.
    pub(super) serial: u64,
    /// Whether the configured refresh token has stood in for a refused one since the last success.
    pub(super) fallback_spent: bool,
    generations: u64,
    used: bool,
    trouble: Option<UpstreamError>,
    failures: u32,
    renewal_refused: bool,
    /// Different ID tokens refused in a row.
    refusals: u32,
    last_refused: Option<u64>,
    not_before: Option<Instant>,
}

/// What a caller who needs an ID token gets.
#[derive(Debug)]
pub(super) enum Serve {
    /// One that serves; `due` where it is to be renewed behind.
    Token { token: Token, due: bool },
    /// None: one newer than this generation must be had.
    Renew(u64),
}

impl State {
    /// No tokens yet; the token store is at `serial`.
    pub(super) fn new(serial: u64) -> Self {
        Self {
            serial,
            ..Self::default()
        }
    }

    /// Takes an ID token into use, as the newest.
    pub(super) fn hold(&mut self, secret: SecretString, term: Option<Term>) -> Token {
        self.generations += 1;
        let token = Token {
            secret,
            generation: self.generations,
        };
        self.held = Some(HeldToken {
            token: token.clone(),
            term,
        });
        token
    }

    /// The ID token for a caller at `now`.
    pub(super) fn serve(&mut self, now: Instant) -> Serve {
        self.used = true;
        match self.valid(now) {
            Some(held) => {
                let due = held.term.is_some_and(|term| term.renew_at <= now);
                let allowed = self.refresh.is_some() && self.pause(now).is_none();
                Serve::Token {
                    token: held.token.clone(),
                    due: due && allowed,
                }
            }
            None => Serve::Renew(self.generations),
        }
    }

    /// The ID token, if it is newer than `generation` and still good.
    pub(super) fn newer_than(&self, generation: u64, now: Instant) -> Option<Token> {
        self.valid(now)
            .map(|held| held.token.clone())
            .filter(|token| token.generation > generation)
    }

    /// The newest ID token, expired or not.
    pub(super) fn newest(&self) -> Option<&SecretString> {
        self.held.as_ref().map(|held| &held.token.secret)
    }

    /// Whether the tokens may be renewed at `now`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn may_renew(&self, now: Instant) -> Result<(), UpstreamError> {
        if self.refresh.is_none() {
            let why = if self.valid(now).is_some() {
                "the ID token is refused, and there is no refresh token"
            } else {
                "the ID token has expired, and there is no refresh token"
            };
            return Err(UpstreamError::Credentials(why.to_owned()));
        }
        match self.pause(now) {
            None => Ok(()),
            Some(_) => Err(self.trouble.clone().unwrap_or_else(|| {
                UpstreamError::Credentials("fresh ID tokens are refused".to_owned())
            })),
        }
    }

    /// Notes that a renewal succeeded.
    pub(super) fn renewed(&mut self) {
        self.trouble = None;
        self.failures = 0;
        self.renewal_refused = false;
        self.fallback_spent = false;
        if self.refusals < 2 {
            self.not_before = None;
        }
    }

    /// Notes that a renewal failed; the next is allowed after a pause of `at_least`.
    pub(super) fn renewal_failed(
        &mut self,
        error: UpstreamError,
        now: Instant,
        at_least: Duration,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.renewal_refused = matches!(error, UpstreamError::Credentials(_));
        self.trouble = Some(error);
        let longest = if self.renewal_refused {
            LONGEST_PAUSE
        } else {
            LONGEST_PASSING_PAUSE
        };
        self.not_before = Some(now + pause(self.failures).min(longest).max(at_least));
    }

    /// Notes that the vendor refused the ID token of `generation`.
    ///
    /// The first refusal allows a renewal at once. If the token that it brings is refused too, renewals are not the cure.
    pub(super) fn refused(&mut self, generation: u64, now: Instant) {
        if self.last_refused.is_some_and(|last| last >= generation) {
            return;
        }
        self.last_refused = Some(generation);
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= 2 {
            self.not_before = Some(now + pause(self.refusals - 1));
        }
    }

    /// Notes that the vendor took an ID token.
    pub(super) fn accepted(&mut self) {
        if self.refusals > 0 {
            self.refusals = 0;
            if self.trouble.is_none() {
                self.not_before = None;
            }
        }
    }

    /// What readiness and operators are told.
    pub(super) fn token_state(&self, now: Instant) -> TokenState {
        let valid = self.valid(now).is_some();
        let refused = self.renewal_refused || self.refusals >= 2;
        let hopeless = self.refresh.is_none() && self.refusals > 0;
        if !self.used {
            TokenState::Unused
        } else if refused || hopeless {
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
        } else {
            // It expired while nobody asked; the next caller renews it.
            TokenState::Unused
        }
    }

    fn valid(&self, now: Instant) -> Option<&HeldToken> {
        self.held
            .as_ref()
            .filter(|held| held.term.is_none_or(|term| now < term.expires_at))
    }

    fn pause(&self, now: Instant) -> Option<Duration> {
        self.not_before
            .map(|until| until.saturating_duration_since(now))
            .filter(|pause| !pause.is_zero())
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
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

    fn served(state: &mut State, now: Instant) -> Option<(u64, bool)> {
        match state.serve(now) {
            Serve::Token { token, due } => Some((token.generation, due)),
            Serve::Renew(_) => None,
        }
    }

    #[test]
    fn a_token_is_renewed_behind_before_it_expires() {
        let now = Instant::now();
        let mut state = state(now);
        let after = |seconds| now + Duration::from_secs(seconds);

        assert_eq!(state.token_state(now), TokenState::Unused);
        assert_eq!(served(&mut state, after(79)), Some((1, false)));
        assert_eq!(served(&mut state, after(80)), Some((1, true)));
        assert_eq!(state.token_state(after(80)), TokenState::Valid);
        assert_eq!(served(&mut state, after(100)), None);
    }

    #[test]
    fn a_token_may_be_a_second_older_than_it_seems() {
        let now = Instant::now();
        let serves = |seconds| Term::new(now, Duration::from_secs(seconds)).expires_at - now;

        assert_eq!(serves(3600), Duration::from_secs(3599));
        assert_eq!(serves(3), Duration::from_secs(2));
        assert_eq!(serves(1), Duration::from_millis(500));
    }

    #[test]
    fn a_vendor_that_refuses_fresh_tokens_is_asked_ever_more_rarely() {
        let start = Instant::now();
        let mut state = state(start);
        let mut renewals = Vec::new();

        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            let Serve::Token { token, .. } = state.serve(start) else {
                panic!("a token is held");
            };
            state.refused(token.generation, now);
            if state.may_renew(now).is_ok() {
                renewals.push(second);
                let fresh = state.hold("fresh".into(), None);
                state.renewed();
                state.refused(fresh.generation, now);
            }
        }

        assert_eq!(
            renewals,
            [
                0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543
            ]
        );
        assert_eq!(state.token_state(start), TokenState::Refused);
        state.accepted();
        assert_eq!(state.may_renew(start), Ok(()));
        assert_eq!(state.token_state(start), TokenState::Valid);
    }

    #[test]
    fn a_late_refusal_of_an_old_token_counts_for_nothing() {
        let now = Instant::now();
        let mut state = state(now);
        state.refused(1, now);
        state.hold("fresh".into(), None);
        state.renewed();

        state.refused(1, now);
        state.refused(1, now);

        assert_eq!(state.may_renew(now), Ok(()));
        assert_eq!(state.newer_than(1, now).unwrap().generation, 2);
        assert!(state.newer_than(2, now).is_none());
    }

    #[test]
    fn a_failed_renewal_is_paused_and_the_old_token_serves_on() {
        let now = Instant::now();
        let mut state = state(now);
        let due = now + Duration::from_secs(90);

        state.renewal_failed(UpstreamError::Status(503), due, Duration::ZERO);

        assert_eq!(served(&mut state, due), Some((1, false)));
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
            served(&mut state, now + Duration::from_secs(90)),
            Some((1, false))
        );
        assert_eq!(state.token_state(now), TokenState::NotRenewable);
        assert_eq!(served(&mut state, late), None);
        assert_eq!(state.token_state(late), TokenState::Expired);
        assert!(matches!(
            state.may_renew(late),
            Err(UpstreamError::Credentials(_))
        ));
    }
}
