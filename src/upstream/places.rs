//! The places at the vendor: how many reports are in flight at once, and which one goes next.
//!
//! The client that was served longest ago goes first, so that a report waits for at most one report of each other client, however
//! long their queues are. Callers go before refreshes, and refreshes before warming, which never has more than its share of the
//! places. Within a client's queue, reports that have begun go before those that have not.
//!
//! Replicas that share a store share the places in proportion to what they want: see `shares`.

mod interest;
mod lines;
mod shares;

pub use self::interest::{Class, Client, Interest, Stake};
pub(super) use self::lines::Entry;
pub use self::shares::PlacesTold;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use self::lines::{Lines, Purpose, Ticket};

/// The places at the vendor. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<Lines>>);

/// A place at the vendor. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    purpose: Purpose,
}

impl Places {
    /// Creates `places` places, of which warming may use `warming`; at least one of each.
    pub(super) fn new(places: usize, warming: usize) -> Self {
        Self(Arc::new(Mutex::new(Lines::new(places, warming))))
    }

    /// Whether no report is in flight. Then none waits, either.
    pub(super) fn are_idle(&self) -> bool {
        self.0.lock().taken == 0
    }

    /// Waits for a place, in the turns of all clients in `interest`, including those that join meanwhile.
    pub(super) async fn acquire(&self, interest: &Interest, entry: Entry) -> Place {
        let (call, called) = oneshot::channel();
        let ticket: Ticket = Arc::new(Mutex::new(Some(call)));
        let mut waiting = Waiting {
            places: Some(self),
            called,
        };
        let mut stakes = 0;
        loop {
            // Created before the stakes are read, so that no addition is missed.
            let grown = interest.grown();
            {
                let mut lines = self.0.lock();
                let all = interest.lock();
                let purpose = if Interest::is_warming(&all) {
                    Purpose::Warming
                } else {
                    Purpose::Needed
                };
                // A report that has just been called has no ticket left, and takes the place of its call.
                if lines.has_room_for(purpose) && ticket.lock().take().is_some() {
                    lines.give(&all[0].client, purpose);
                    return waiting.succeed(purpose);
                }
                for stake in &all[stakes..] {
                    lines.enter(stake, &ticket, entry);
                }
                stakes = all.len();
                lines.wants_more();
            }
            tokio::select! {
                biased;
                purpose = &mut waiting.called => {
                    return waiting.succeed(purpose.expect("a waiting report is called"));
                }
                () = grown => {}
            }
        }
    }

    /// Number of reports that wait for a place. One that several clients wait for counts for each.
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }

    /// Gives a place back, and passes it to the report whose turn it is.
    fn release(&self, was: Purpose) {
        self.0.lock().take_back(was);
        self.fill();
    }

    /// Passes the places that are free to the reports whose turn it is.
    fn fill(&self) {
        loop {
            let mut lines = self.0.lock();
            let Some((call, purpose)) = lines.next() else {
                return;
            };
            drop(lines);
            // A report that stopped waiting just now leaves the place to the next.
            if call.send(purpose).is_err() {
                self.0.lock().take_back(purpose);
            }
        }
    }

    /// Shares the places with other processes from now on. This process has one place until it hears from them.
    pub(super) fn begin_sharing(&self) {
        self.0.lock().share.begin();
    }

    /// This process's places, for others to hear. It gives up those that it does not want.
    pub(super) fn tell(&self) -> PlacesTold {
        let mut lines = self.0.lock();
        let (wanted, taken) = (lines.wanted(), lines.taken);
        lines.share.tell(wanted, taken)
    }

    /// Gives this process `places` places from now on, at least one. Reports in flight beyond that continue, but do not pass their places
    /// on.
    pub(super) fn share(&self, places: usize, is_alone: bool) {
        let mut lines = self.0.lock();
        let wanted = lines.wanted();
        lines.share.hear(places, is_alone, wanted);
        drop(lines);
        self.fill();
    }

    /// Carries on without hearing the others; there are `processes` in all. `is_silent`: they have not heard this one for long either.
    pub(super) fn share_equally(&self, processes: usize, is_silent: bool) {
        self.0.lock().share.miss(processes, is_silent);
        self.fill();
    }

    /// The number of this process's own places.
    pub(super) fn own(&self) -> usize {
        self.0.lock().share.own
    }

    /// Notified when a report waits for a place that others may leave to this process.
    pub(super) fn asks(&self) -> Arc<Notify> {
        Arc::clone(&self.0.lock().share.asks)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.release(self.purpose);
    }
}

/// A report while it waits. If it stops waiting just when its turn comes, it passes its place on.
struct Waiting<'a> {
    /// `None` once it has its place.
    places: Option<&'a Places>,
    called: oneshot::Receiver<Purpose>,
}

impl Waiting<'_> {
    fn succeed(&mut self, purpose: Purpose) -> Place {
        let places = self.places.take();
        Place {
            places: places.expect("a report gets one place").clone(),
            purpose,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(places) = self.places else { return };
        self.called.close();
        if let Ok(purpose) = self.called.try_recv() {
            places.release(purpose);
        } else {
            places.0.lock().one_left();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use proptest::prelude::*;

    use super::*;

    fn interest(client: u8, class: Class) -> Interest {
        Interest::new(stake(client, class))
    }

    fn stake(client: u8, class: Class) -> Stake {
        Stake {
            client: client.to_string().into(),
            class,
        }
    }

    #[test]
    fn a_place_for_a_report_that_has_just_given_up_goes_to_the_next() {
        let places = Places::new(1, 1);
        let [one, two, three] = [1, 2, 3].map(|client| interest(client, Class::Caller));
        let place = places.acquire(&one, Entry::New).now_or_never().unwrap();
        let mut second = Box::pin(places.acquire(&two, Entry::New));
        let mut third = Box::pin(places.acquire(&three, Entry::New));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());

        drop(place);
        drop(second);

        assert!(third.now_or_never().is_some());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u8, Class),
        Join(usize, u8, Class),
        Leave(usize),
        Finish(usize),
        Share(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let class = || prop::sample::select(vec![Class::Caller, Class::Refresh, Class::Warm]);
        let step = prop_oneof![
            4 => (0..4_u8, class()).prop_map(|(client, class)| Step::Wait(client, class)),
            1 => (any::<usize>(), 0..4_u8, class()).prop_map(|(at, client, class)| Step::Join(at, client, class)),
            1 => any::<usize>().prop_map(Step::Leave),
            3 => any::<usize>().prop_map(Step::Finish),
            1 => (0..5_usize).prop_map(Step::Share),
        ];
        prop::collection::vec(step, 0..80)
    }

    /// Takes an element of a list, unless it is empty.
    fn pick<T>(list: &mut Vec<T>, at: usize) -> Option<T> {
        (!list.is_empty()).then(|| list.swap_remove(at % list.len()))
    }

    proptest! {
        #[test]
        fn no_place_is_lost_or_given_twice_and_each_class_gets_its_turn(all in 1..4_usize, most_warming in 1..3_usize, steps in steps()) {
            let places = Places::new(all, most_warming);
            let mut waiting: Vec<(Interest, BoxFuture<'_, Place>)> = Vec::new();
            let mut held: Vec<Place> = Vec::new();
            let mut own = all;
            let wait = |interest: Interest| -> (Interest, BoxFuture<'_, Place>) {
                let (places, asker) = (places.clone(), interest.clone());
                (interest, async move { places.acquire(&asker, Entry::New).await }.boxed())
            };

            for step in steps {
                match step {
                    Step::Wait(client, class) => waiting.push(wait(interest(client, class))),
                    Step::Join(at, client, class) if !waiting.is_empty() => {
                        let at = at % waiting.len();
                        waiting[at].0.add(&stake(client, class));
                    }
                    Step::Join(..) => {}
                    Step::Leave(at) => drop(pick(&mut waiting, at)),
                    Step::Finish(at) => drop(pick(&mut held, at)),
                    Step::Share(share) => {
                        places.share(share, false);
                        own = share.clamp(1, all);
                    }
                }
                let before = held.len();
                let mut given = Vec::new();
                waiting.retain_mut(|(interest, place)| match place.now_or_never() {
                    Some(place) => {
                        held.push(place);
                        given.push(interest.clone());
                        false
                    }
                    None => true,
                });
                let urgency = |interest: &Interest| interest.lock().iter().map(|stake| stake.class as u8).min().unwrap();
                let warming = held.iter().filter(|place| place.purpose == Purpose::Warming).count();
                prop_assert!(held.len() <= own.max(before) && warming <= most_warming);
                for (interest, _) in &waiting {
                    let most_warming = (most_warming * own / all).max(1);
                    let has_share = urgency(interest) == Class::Warm as u8 && warming >= most_warming;
                    prop_assert!(held.len() >= own || has_share, "a place is free while a report waits");
                    if held.len() == before + 1 {
                        prop_assert!(given.iter().all(|given| urgency(given) <= urgency(interest)));
                    }
                }
            }
            drop(waiting);
            drop(held);
            let lines = places.0.lock();
            prop_assert_eq!((lines.taken, lines.warming), (0, 0));
        }
    }
}
