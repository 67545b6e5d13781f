//! The places at the vendor: how many reports are in flight at once, and which one goes next.
//!
//! The client that was served longest ago goes first, so that a report waits for at most one report of each other client, however
//! long their queues are. Callers go before refreshes, and refreshes before warming, which never has more than its share of the
//! places. Within a client's queue, reports that have begun go before those that have not.
//!
//! Replicas with one store share the places by what each of them wants: see `shares`.

mod shares;

pub use self::shares::PlacesTold;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use self::shares::Share;

/// The name of a client for the order of turns; callers without authentication share one.
pub type Client = Arc<str>;

/// The reason for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A caller waits for it.
    Caller,
    /// It replaces figures past their TTL, which serve meanwhile.
    Refresh,
    /// It fetches figures before a caller requests them.
    Warm,
}

/// One client's reason to have a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    /// The client.
    pub client: Client,
    /// Its reason.
    pub class: Class,
}

/// All clients' reasons to have a report. More may join while it waits for its turn; clones share them.
#[derive(Clone, Debug)]
pub struct Interest(Arc<Stakes>);

#[derive(Debug)]
struct Stakes {
    all: Mutex<Vec<Stake>>,
    grown: Notify,
    /// The end of the work on the report; `None` before its start.
    until: Mutex<Option<Instant>>,
}

/// A report with less time left than this will end about when its callers give up.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Interest {
    /// The interest of one client.
    #[must_use]
    pub fn new(stake: Stake) -> Self {
        Self(Arc::new(Stakes {
            all: Mutex::new(vec![stake]),
            grown: Notify::new(),
            until: Mutex::default(),
        }))
    }

    /// Records that the work on the report may continue until `until`.
    pub(super) fn works_until(&self, until: Instant) {
        let mut known = self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        *known = known.max(Some(until));
    }

    /// Whether the report has time left at `now`, so that a caller that retries soon may find its figures.
    #[must_use]
    pub fn has_time_left(&self, now: Instant) -> bool {
        let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| now + WORTH_TELLING <= until)
    }

    /// Adds a client's reason, so that the report also waits in that client's queue.
    pub fn add(&self, stake: &Stake) {
        let mut all = self.lock();
        if !all.contains(stake) {
            all.push(stake.clone());
            drop(all);
            self.0.grown.notify_waiters();
        }
    }

    /// Whether all of them are for warming.
    fn is_warming(all: &[Stake]) -> bool {
        all.iter().all(|stake| stake.class == Class::Warm)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stake>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a report joins its client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// At the end.
    New,
    /// Before the reports that have not begun.
    Begun,
}

/// The places at the vendor. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<Lines>>);

/// A place at the vendor, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    purpose: Purpose,
}

/// The use of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Callers or refreshes.
    Needed,
    /// Warming alone.
    Warming,
}

/// Calls a waiting report to its place.
type Call = oneshot::Sender<Purpose>;

/// A waiting report. It may stand in several queues, and is called from whichever comes first.
type Ticket = Arc<Mutex<Option<Call>>>;

/// If a report waits while a place is free, it is for warming, which already uses its share.
#[derive(Debug, Default)]
struct Lines {
    share: Share,
    /// The number of own places that are taken.
    taken: usize,
    /// The number of places that warming uses, and its limit of all places.
    warming: usize,
    most_warming: usize,
    callers: Line,
    refreshes: Line,
    warm: Line,
    /// The last time each client got a place, as a count of all places given. Clients are configured, so there are few.
    served: HashMap<Client, u64>,
    given: u64,
    /// Lower bound of the tickets whose reports have stopped waiting since the last sweep.
    left: usize,
}

/// The queues of one class, by client; none is empty.
#[derive(Debug, Default)]
struct Line(BTreeMap<Client, VecDeque<Ticket>>);

/// Most tickets that may outlive their reports before a sweep.
const MANY_LEFT: usize = 256;

impl Places {
    /// Creates `places` places, of which warming may use `warming`; at least one of each.
    pub(super) fn new(places: usize, warming: usize) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            share: Share::whole(places),
            most_warming: warming.max(1),
            ..Lines::default()
        })))
    }

    /// Whether no report is in flight. Then none waits, either.
    pub(super) fn are_idle(&self) -> bool {
        self.lock().taken == 0
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
            let grown = interest.0.grown.notified();
            {
                let mut lines = self.lock();
                let all = interest.lock();
                let purpose = if Interest::is_warming(&all) {
                    Purpose::Warming
                } else {
                    Purpose::Needed
                };
                // A report that has just been called has no ticket left, and takes the place of its call.
                if lines.has_room_for(purpose) && lock(&ticket).take().is_some() {
                    lines.give(&all[0].client, purpose);
                    return waiting.succeed(purpose);
                }
                for stake in &all[stakes..] {
                    lines.of(stake.class).enter(&stake.client, &ticket, entry);
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
        let lines = self.lock();
        let lines = [&lines.callers, &lines.refreshes, &lines.warm];
        lines.into_iter().map(Line::waiting).sum()
    }

    /// Gives a place back, and passes it to the report whose turn it is.
    fn release(&self, was: Purpose) {
        self.lock().take_back(was);
        self.fill();
    }

    /// Passes the places that are free to the reports whose turn it is.
    fn fill(&self) {
        loop {
            let mut lines = self.lock();
            let Some((call, purpose)) = lines.next() else {
                return;
            };
            drop(lines);
            // A report that stopped waiting just now leaves the place to the next.
            if call.send(purpose).is_err() {
                self.lock().take_back(purpose);
            }
        }
    }

    /// Shares the places with other processes from now on: one is its own until they are heard.
    pub(super) fn begin_sharing(&self) {
        self.lock().share.begin();
    }

    /// Its places, for others to hear. It gives up those that it does not want.
    pub(super) fn tell(&self) -> PlacesTold {
        let mut lines = self.lock();
        let (wanted, taken) = (lines.wanted(), lines.taken);
        lines.share.tell(wanted, taken)
    }

    /// From now on, `places` are its own, at least one. Reports in flight beyond that go on, and nobody gets their places.
    pub(super) fn share(&self, places: usize, is_alone: bool) {
        let mut lines = self.lock();
        let wanted = lines.wanted();
        lines.share.hear(places, is_alone, wanted);
        drop(lines);
        self.fill();
    }

    /// Goes on without hearing the others, `processes` in all.
    pub(super) fn share_equally(&self, processes: usize) {
        self.lock().share.miss(processes);
        self.fill();
    }

    /// The number of its own places.
    pub(super) fn own(&self) -> usize {
        self.lock().share.own()
    }

    /// Notified when a report waits for a place that others may leave.
    pub(super) fn asks(&self) -> Arc<Notify> {
        Arc::clone(self.lock().share.asks())
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            places.lock().one_left();
        }
    }
}

impl Lines {
    fn of(&mut self, class: Class) -> &mut Line {
        match class {
            Class::Caller => &mut self.callers,
            Class::Refresh => &mut self.refreshes,
            Class::Warm => &mut self.warm,
        }
    }

    fn has_room_for(&self, purpose: Purpose) -> bool {
        self.taken < self.share.own() && (purpose == Purpose::Needed || self.may_warm())
    }

    fn may_warm(&self) -> bool {
        self.warming < self.most_warming_here()
    }

    /// The limit of warming, of the process's own places: at least 1.
    fn most_warming_here(&self) -> usize {
        (self.most_warming * self.share.own() / self.share.all()).max(1)
    }

    /// The next report to call, and the use of its place, if one is free.
    fn next(&mut self) -> Option<(Call, Purpose)> {
        if self.taken >= self.share.own() {
            return None;
        }
        let served = &self.served;
        let needed = self.callers.next(served);
        let needed = needed.or_else(|| self.refreshes.next(served));
        let (next, purpose) = match needed {
            Some(next) => (next, Purpose::Needed),
            None if self.may_warm() => (self.warm.next(served)?, Purpose::Warming),
            None => return None,
        };
        let (client, call) = next;
        self.give(&client, purpose);
        Some((call, purpose))
    }

    /// The places that its reports could use.
    fn wanted(&self) -> usize {
        let room_to_warm = self.most_warming_here().saturating_sub(self.warming);
        let mut counted = HashSet::new();
        let mut reports = |line: &Line| line.reports(&mut counted);
        let needed = reports(&self.callers) + reports(&self.refreshes);
        self.taken + needed + reports(&self.warm).min(room_to_warm)
    }

    /// Asks for more places, once, if a report waits for one that others may leave.
    fn wants_more(&mut self) {
        if self.share.may_ask() && self.wanted() > self.share.own() {
            self.share.ask();
        }
    }

    fn give(&mut self, client: &Client, purpose: Purpose) {
        self.given += 1;
        self.served.insert(Arc::clone(client), self.given);
        self.taken += 1;
        self.warming += usize::from(purpose == Purpose::Warming);
    }

    fn take_back(&mut self, purpose: Purpose) {
        self.taken -= 1;
        self.warming -= usize::from(purpose == Purpose::Warming);
    }

    fn one_left(&mut self) {
        self.left += 1;
        let lines = [&mut self.callers, &mut self.refreshes, &mut self.warm];
        let held: usize = lines.iter().map(|line| line.len()).sum();
        if self.left > MANY_LEFT && self.left > held / 2 {
            self.left = 0;
            lines.into_iter().for_each(Line::sweep);
        }
    }
}

impl Line {
    fn enter(&mut self, client: &Client, ticket: &Ticket, entry: Entry) {
        let queue = self.0.entry(Arc::clone(client)).or_default();
        match entry {
            Entry::New => queue.push_back(Arc::clone(ticket)),
            Entry::Begun => queue.push_front(Arc::clone(ticket)),
        }
    }

    /// The first waiting report of the client that was served longest ago.
    fn next(&mut self, served: &HashMap<Client, u64>) -> Option<(Client, Call)> {
        loop {
            let longest_ago = |client: &&Client| served.get(*client);
            let client = Arc::clone(self.0.keys().min_by_key(longest_ago)?);
            let queue = self.0.get_mut(&client).expect("it is one of the keys");
            let call = std::iter::from_fn(|| queue.pop_front()).find_map(|ticket| take(&ticket));
            if queue.is_empty() {
                self.0.remove(&client);
            }
            if let Some(call) = call {
                return Some((client, call));
            }
        }
    }

    fn len(&self) -> usize {
        self.0.values().map(VecDeque::len).sum()
    }

    fn waiting(&self) -> usize {
        let tickets = self.0.values().flatten();
        tickets.filter(|ticket| waits(ticket)).count()
    }

    /// Number of reports that wait, other than those that were `counted` before: each once, whoever waits for it.
    fn reports(&self, counted: &mut HashSet<*const Mutex<Option<Call>>>) -> usize {
        let tickets = self.0.values().flatten().filter(|ticket| waits(ticket));
        tickets.filter(|it| counted.insert(Arc::as_ptr(it))).count()
    }

    /// Drops the tickets of reports that no longer wait.
    fn sweep(&mut self) {
        self.0.retain(|_, queue| {
            queue.retain(waits);
            queue.shrink_to_fit();
            !queue.is_empty()
        });
    }
}

/// Takes the call of a waiting report; `None` if it no longer waits.
fn take(ticket: &Ticket) -> Option<Call> {
    let call = lock(ticket).take()?;
    (!call.is_closed()).then_some(call)
}

fn waits(ticket: &Ticket) -> bool {
    lock(ticket).as_ref().is_some_and(|call| !call.is_closed())
}

fn lock(ticket: &Ticket) -> MutexGuard<'_, Option<Call>> {
    ticket.lock().unwrap_or_else(PoisonError::into_inner)
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
            let lines = places.lock();
            prop_assert_eq!((lines.taken, lines.warming), (0, 0));
        }
    }
}
