//! When answers are written: where a thread has many requests at a time, one answer right after another.
//!
//! To write to a socket is to tell whoever waits for it, which on the same machine means to take a lock that the other side takes
//! as well, and to wake it. A proxy or a load balancer there that is told of each answer by itself contends for that lock all the
//! time; told of a dozen in a row, it finds them together. So a thread with much to do first reads the requests that are there,
//! and then writes their answers. A thread with little to do writes at once: to come back to a connection has its own price.

use std::cell::Cell;
use std::mem;
use std::task::{Context, Poll};

/// A thread that answers more requests than this from one rest to the next has much to do.
const FEW: u32 = 8;

/// What a thread of the runtime has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    /// The answers between its last two rests; `None` until it has rested, as no thread does that does not tell.
    before: Option<u32>,
    /// The answers since.
    since: u32,
}

thread_local! {
    static LOAD: Cell<Load> = const { Cell::new(Load { before: None, since: 0 }) };
}

impl Load {
    const fn rested(self) -> Self {
        Self {
            before: Some(self.since),
            since: 0,
        }
    }

    const fn answered(self) -> Self {
        Self {
            since: self.since.saturating_add(1),
            ..self
        }
    }

    const fn is_high(self) -> bool {
        match self.before {
            Some(before) => before > FEW || self.since > FEW,
            None => false,
        }
    }
}

/// Notes that the calling thread has nothing more to do for the moment.
///
/// For a runtime to call whenever it parks one of its threads; where none does, every answer is written at once.
pub fn thread_rests() {
    LOAD.set(LOAD.get().rested());
}

/// When the answers of one connection are written.
///
/// To hyper it looks as if there was no room yet for an answer. What it holds it must therefore write before it ends a connection, as
/// it does from the version on that `Cargo.toml` asks for: a test shows it.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// How many requests had begun when something was last written.
    answered: usize,
}

impl Turn {
    /// Lets the connections that have something to read go first, once for each answer. `begun` is how many requests have begun.
    pub(super) fn poll(&mut self, cx: &Context<'_>, begun: usize) -> Poll<()> {
        if mem::replace(&mut self.answered, begun) != begun {
            let load = LOAD.get().answered();
            LOAD.set(load);
            if load.is_high() {
                // The runtime puts a task that wakes itself behind those that are waiting already.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

/// Makes the calling thread one that has much to do.
#[cfg(test)]
pub(super) fn burden_thread() {
    LOAD.set(Load {
        before: Some(FEW + 1),
        since: 0,
    });
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const LITTLE: Load = Load {
        before: Some(0),
        since: 0,
    };

    #[test]
    fn a_thread_has_much_to_do_until_it_has_had_little_between_two_rests() {
        let answers = |load: Load, count| (0..count).fold(load, |load, _| load.answered());
        let load = answers(LITTLE, FEW);
        assert!(!load.is_high());

        let load = load.answered();
        assert!(load.is_high());

        let load = load.rested();
        assert!(load.is_high(), "as much is to be expected");
        assert!(answers(load, 1).is_high());

        assert!(!answers(load.rested(), FEW).is_high());
    }

    #[test]
    fn a_thread_that_does_not_tell_of_its_rests_never_has_much_to_do() {
        let load = (0..1000).fold(Load::default(), |load, _| load.answered());

        assert!(!load.is_high());
    }

    /// Whether a task that was ready before had its turn before that of an answer, when so many requests had begun.
    async fn others_go_first(turn: &mut Turn, begun: usize) -> bool {
        let had_its_turn = Arc::new(AtomicBool::new(false));
        let other = tokio::spawn({
            let had_its_turn = Arc::clone(&had_its_turn);
            async move { had_its_turn.store(true, Ordering::Relaxed) }
        });
        poll_fn(|cx| turn.poll(cx, begun)).await;
        let had = had_its_turn.load(Ordering::Relaxed);
        other.await.unwrap();
        had
    }

    #[tokio::test]
    async fn an_answer_lets_others_go_first_once_where_there_is_much_to_do() {
        let mut turn = Turn::default();
        LOAD.set(LITTLE);
        assert!(!others_go_first(&mut turn, 1).await);

        burden_thread();
        assert!(!others_go_first(&mut turn, 1).await, "more of the same");
        assert!(others_go_first(&mut turn, 2).await);
        assert!(!others_go_first(&mut turn, 2).await);
    }
}
