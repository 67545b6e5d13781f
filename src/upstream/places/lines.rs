//! The queues for the places, and whose turn it is.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::interest::{Client, Stake};
use super::shares::Share;

/// Where a report joins its client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Entry {
    /// At the end.
    New,
    /// Before the reports that have not begun.
    Begun,
}

/// The use of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Callers or refreshes.
    Needed,
    /// Warming alone.
    Warming,
}

/// Sends a waiting report to its place.
pub(super) type Call = oneshot::Sender<Purpose>;

/// A waiting report. It may stand in several queues, and is called from whichever comes first.
pub(super) type Ticket = Arc<Mutex<Option<Call>>>;

/// If a report waits while a place is free, it is for warming, which already uses its share.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) share: Share,
    /// The number of own places that are taken.
    pub(super) taken: usize,
    /// The number of places that warming uses, and its limit if all places are this process's own.
    pub(super) warming: usize,
    most_warming: usize,
    /// The queues of callers, refreshes and warming.
    by_class: [Line; 3],
    /// When each client last got a place, counted in places given. Clients are configured, so there are few.
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

impl Lines {
    /// Empty queues for `places` places, of which warming may use `most_warming`; at least one of each.
    pub(super) fn new(places: usize, most_warming: usize) -> Self {
        Self {
            share: Share::whole(places),
            most_warming: most_warming.max(1),
            ..Self::default()
        }
    }

    /// Queues a report for `stake`.
    pub(super) fn enter(&mut self, stake: &Stake, ticket: &Ticket, entry: Entry) {
        let Line(line) = &mut self.by_class[stake.class as usize];
        let queue = line.entry(Arc::clone(&stake.client)).or_default();
        match entry {
            Entry::New => queue.push_back(Arc::clone(ticket)),
            Entry::Begun => queue.push_front(Arc::clone(ticket)),
        }
    }

    /// Number of waiting reports; one that several clients wait for counts for each.
    pub(super) fn waiting(&self) -> usize {
        self.by_class.iter().flat_map(Line::waiting).count()
    }

    pub(super) fn has_room_for(&self, purpose: Purpose) -> bool {
        self.taken < self.share.own && (purpose == Purpose::Needed || self.may_warm())
    }

    fn may_warm(&self) -> bool {
        self.warming < self.most_warming_here()
    }

    /// The limit of warming among the process's own places: at least 1.
    fn most_warming_here(&self) -> usize {
        (self.most_warming * self.share.own / self.share.all).max(1)
    }

    /// The next report to call, and the use of its place, if one is free.
    pub(super) fn next(&mut self) -> Option<(Call, Purpose)> {
        if self.taken >= self.share.own {
            return None;
        }
        let may_warm = self.may_warm();
        let [callers, refreshes, warm] = &mut self.by_class;
        let served = &self.served;
        let needed = callers.next(served).or_else(|| refreshes.next(served));
        let ((client, call), purpose) = match needed {
            Some(next) => (next, Purpose::Needed),
            None if may_warm => (warm.next(served)?, Purpose::Warming),
            None => return None,
        };
        self.give(&client, purpose);
        Some((call, purpose))
    }

    /// The places that its reports could use.
    pub(super) fn wanted(&self) -> usize {
        let room_to_warm = self.most_warming_here().saturating_sub(self.warming);
        let mut counted = HashSet::new();
        // Each once, however many clients wait for it.
        let mut reports = |line: &Line| {
            let tickets = line.waiting();
            tickets.filter(|it| counted.insert(Arc::as_ptr(it))).count()
        };
        let [callers, refreshes, warm] = &self.by_class;
        let needed = reports(callers) + reports(refreshes);
        self.taken + needed + reports(warm).min(room_to_warm)
    }

    /// Asks for more places, once, if a report waits for one that others may leave to this process.
    pub(super) fn wants_more(&mut self) {
        if self.share.may_ask() && self.wanted() > self.share.own {
            self.share.ask();
        }
    }

    pub(super) fn give(&mut self, client: &Client, purpose: Purpose) {
        self.given += 1;
        self.served.insert(Arc::clone(client), self.given);
        self.taken += 1;
        self.warming += usize::from(purpose == Purpose::Warming);
    }

    pub(super) fn take_back(&mut self, purpose: Purpose) {
        self.taken -= 1;
        self.warming -= usize::from(purpose == Purpose::Warming);
    }

    pub(super) fn one_left(&mut self) {
        self.left += 1;
        let queues = self.by_class.iter().flat_map(|Line(line)| line.values());
        let held: usize = queues.map(VecDeque::len).sum();
        if self.left > MANY_LEFT && self.left > held / 2 {
            self.left = 0;
            self.by_class.iter_mut().for_each(Line::sweep);
        }
    }
}

impl Line {
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

    fn waiting(&self) -> impl Iterator<Item = &Ticket> {
        self.0.values().flatten().filter(|ticket| waits(ticket))
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
    let call = ticket.lock().take()?;
    (!call.is_closed()).then_some(call)
}

fn waits(ticket: &Ticket) -> bool {
    ticket.lock().as_ref().is_some_and(|call| !call.is_closed())
}
