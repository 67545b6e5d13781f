//! The circuit breaker: it stops calls to a vendor that keeps failing, and sends one probe every few seconds.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::status::CircuitState;
use crate::backoff::Backoff;

/// Failed reports in a row that open the circuit; each counts once, with all its attempts and parts.
const THRESHOLD: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pause until the next probe: the contract promises one after at most five seconds.
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(5));

/// A circuit breaker over consecutive failures.
#[derive(Debug)]
pub(super) struct Circuit {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    /// `times`: how often it has opened in a row.
    Open {
        until: Instant,
        times: u32,
    },
    Probing {
        times: u32,
    },
}

/// Permission for one call. Dropping it without a verdict leaves the breaker unchanged.
#[derive(Debug)]
#[must_use]
pub(super) struct Admission<'a> {
    circuit: &'a Circuit,
    /// Whether its verdict is that of the probe, and still to come.
    probe: bool,
}

impl State {
    fn refuses(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Open { until, .. } if now < until => Some(until - now),
            Self::Probing { .. } => Some(FIRST_PAUSE),
            Self::Open { .. } | Self::Closed { .. } => None,
        }
    }
}

impl Circuit {
    /// A closed circuit.
    pub(super) fn new() -> Self {
        let circuit = Self {
            state: Mutex::new(State::Closed { failures: 0 }),
        };
        circuit.publish();
        circuit
    }

    /// The state of the circuit.
    pub(super) fn state(&self) -> CircuitState {
        match *self.state.lock() {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::Probing { .. } => CircuitState::HalfOpen,
        }
    }

    /// The time from `now` for which calls are refused, if they are.
    pub(super) fn refuses(&self, now: Instant) -> Option<Duration> {
        self.state.lock().refuses(now)
    }

    /// Gives permission to call now, or returns the time until the next probe. The first call after a pause is the probe.
    pub(super) fn admit(&self, now: Instant) -> Result<Admission<'_>, Duration> {
        let mut state = self.state.lock();
        if let Some(pause) = state.refuses(now) {
            return Err(pause);
        }
        let probe = if let State::Open { times, .. } = *state {
            *state = State::Probing { times };
            true
        } else {
            false
        };
        drop(state);
        self.publish();
        Ok(Admission {
            circuit: self,
            probe,
        })
    }

    fn succeeded(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Closed { failures: 0 });
        if !matches!(before, State::Closed { .. }) {
            tracing::info!("the vendor answers again: the circuit closes");
            self.publish();
        }
    }

    fn failed(&self, probe: bool, now: Instant) {
        let mut state = self.state.lock();
        let times = match *state {
            State::Closed { failures } if failures + 1 < THRESHOLD => {
                *state = State::Closed {
                    failures: failures + 1,
                };
                return;
            }
            State::Closed { .. } => 1,
            State::Probing { times } if probe => times.saturating_add(1),
            // The call began before the circuit opened.
            State::Open { .. } | State::Probing { .. } => return,
        };
        let pause = BACKOFF.after(times);
        *state = State::Open {
            until: now + pause,
            times,
        };
        drop(state);
        tracing::warn!(
            pause_ms = pause.as_millis(),
            "the vendor keeps failing: the circuit opens"
        );
        self.publish();
    }

    fn publish(&self) {
        super::telemetry::circuit_state(self.state());
    }
}

impl Admission<'_> {
    /// Whether this call is the probe, whose verdict all others await.
    pub(super) const fn is_probe(&self) -> bool {
        self.probe
    }

    /// Records an answer that is not a failure of the vendor.
    pub(super) fn succeeded(mut self) {
        self.probe = false;
        self.circuit.succeeded();
    }

    /// Records a failure of the vendor.
    pub(super) fn failed(mut self, now: Instant) {
        let probe = std::mem::take(&mut self.probe);
        self.circuit.failed(probe, now);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.probe {
            // The probe's caller has left: the next call probes.
            let mut state = self.circuit.state.lock();
            if let State::Probing { times } = *state {
                *state = State::Open {
                    until: Instant::now(),
                    times,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(circuit: &Circuit, now: Instant) {
        for _ in 0..THRESHOLD {
            circuit.admit(now).unwrap().failed(now);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_restarts_the_count() {
        let (circuit, now) = (Circuit::new(), Instant::now());
        for _ in 0..THRESHOLD - 1 {
            circuit.admit(now).unwrap().failed(now);
        }

        circuit.admit(now).unwrap().succeeded();
        for _ in 0..THRESHOLD - 1 {
            circuit.admit(now).unwrap().failed(now);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        circuit.admit(now).unwrap().failed(now);

        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(circuit.admit(now).unwrap_err(), FIRST_PAUSE);
        assert_eq!(circuit.refuses(now), Some(FIRST_PAUSE));
    }

    #[test]
    fn one_probe_passes_after_the_pause_and_closes_it() {
        let (circuit, now) = (Circuit::new(), Instant::now());
        open(&circuit, now);
        let later = now + FIRST_PAUSE;

        let probe = circuit.admit(later).unwrap();
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert!(circuit.admit(later).is_err());
        probe.succeeded();

        assert_eq!(circuit.state(), CircuitState::Closed);
        assert!(circuit.admit(later).is_ok());
    }

    #[test]
    fn failed_probes_become_rarer_but_come_at_least_every_five_seconds() {
        let circuit = Circuit::new();
        let mut now = Instant::now();
        open(&circuit, now);

        let mut pauses = Vec::new();
        for _ in 0..6 {
            let pause = circuit.admit(now).unwrap_err();
            pauses.push(pause.as_secs());
            now += pause;
            circuit.admit(now).unwrap().failed(now);
        }

        assert_eq!(pauses, [1, 2, 4, 5, 5, 5]);
    }

    #[test]
    fn after_a_dropped_probe_the_next_call_probes() {
        let (circuit, now) = (Circuit::new(), Instant::now());
        open(&circuit, now);
        let later = now + FIRST_PAUSE;

        drop(circuit.admit(later).unwrap());

        assert!(circuit.admit(later.max(Instant::now())).is_ok());
    }

    #[test]
    fn a_late_failure_of_an_earlier_call_does_not_lengthen_the_pause() {
        let (circuit, now) = (Circuit::new(), Instant::now());
        let early = circuit.admit(now).unwrap();
        open(&circuit, now);

        early.failed(now + FIRST_PAUSE);

        assert!(circuit.admit(now + FIRST_PAUSE).is_ok());
    }
}
