//! A claim's look-up in the tier: it finds cells there, and leaves the rest to be fetched.

use std::sync::Arc;
use std::time::Duration;

use super::judge::{Below, Judge};
use crate::backoff::Backoff;
use crate::cache::ClaimedCells;
use crate::cores::aside;
use crate::domain::month::{SeriesMonth, without};
use crate::domain::page::PageDays;
use crate::tier::{Lease, Patience, Tier};
use crate::upstream::Class;

/// Work on more cells than this takes milliseconds, during which the other connections of the thread would wait.
pub(super) const MANY_CELLS: usize = 5_000;

/// Pauses between look-ups of cells that another replica fetches.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));

/// The result of a claim's look-up in the tier.
#[derive(Debug)]
pub(super) struct Seen {
    /// The cells that were found.
    pub(super) below: Below,
    /// The days of months that other replicas fetch.
    pub(super) elsewhere: Vec<(SeriesMonth, u32)>,
    /// The leases under which the rest is fetched.
    pub(super) lease: Option<Lease>,
    /// Whether work on these cells takes milliseconds.
    pub(super) is_heavy: bool,
}

/// Gives up the lease of a report when the report ends, for whatever reason.
#[derive(Debug)]
pub(super) struct Duty {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) lease: Lease,
    pub(super) months: Vec<(SeriesMonth, u32)>,
}

impl Drop for Duty {
    fn drop(&mut self) {
        self.tier
            .release(self.lease, std::mem::take(&mut self.months));
    }
}

/// Looks for the cells of a claim, and asks for the right to fetch those that are neither there nor `known`.
pub(super) async fn look<E, I>(
    mine: &ClaimedCells<E, I>,
    tier: &dyn Tier,
    judge: &Judge,
    class: Class,
    known: &[PageDays],
    patience: &mut Patience,
) -> Seen
where
    E: Clone + Send + Sync,
    I: Clone + Send + Sync,
{
    let months = mine.months();
    let mut below = read(months, tier, judge, class, patience).await;
    let found = known.iter().chain(&below.found);
    let lacking = without(months, found.map(|found| (found.month, found.days)));
    let mut elsewhere = Vec::new();
    let mut lease = None;
    if !lacking.is_empty() {
        let claimed = tier.claim(lacking.clone(), patience).await;
        lease = Some(claimed.lease);
        let mut granted = Vec::new();
        for ((month, _), grant) in lacking.iter().zip(&claimed.grants) {
            granted.extend((grant.mine != 0).then_some((*month, grant.mine)));
            elsewhere.extend((grant.theirs != 0).then_some((*month, grant.theirs)));
        }
        if claimed.look_again && !granted.is_empty() {
            // Cells that came between the look-up and the claim are there now. Any later ones are ours to fetch.
            let again = read(&granted, tier, judge, class, patience).await;
            let came = again.found.iter().map(|found| (found.month, found.days));
            tier.release(claimed.lease, came.collect());
            below.usable.extend(again.usable);
            below.found.extend(again.found);
            below.stale.extend(again.stale);
            below.outdated.extend(again.outdated);
        }
    }
    Seen {
        below,
        elsewhere,
        lease,
        is_heavy: is_heavy(months),
    }
}

/// The pause after that many look-ups. It is random, so that replicas do not look at the same time.
pub(super) fn pause(looks: u32) -> Duration {
    PAUSE.after(looks) / 2 + PAUSE.jittered(looks) / 2
}

/// The kept cells of these days of months, and their use.
pub(super) async fn read(
    months: &[(SeriesMonth, u32)],
    tier: &dyn Tier,
    judge: &Judge,
    class: Class,
    patience: &mut Patience,
) -> Below {
    let shapes = judge.shapes(months.iter().map(|(month, _)| *month));
    let wanted = months.iter().map(|(month, _)| (*month, shapes[month]));
    let kept = tier.read(wanted.collect(), patience).await;
    // Where nobody waits, what is past its TTL is fetched in its turn.
    let serves_stale = class == Class::Caller;
    aside(is_heavy(months), || judge.judge(months, kept, serves_stale))
}

fn is_heavy(months: &[(SeriesMonth, u32)]) -> bool {
    let days = months.iter().map(|(_, days)| days.count_ones() as usize);
    days.sum::<usize>() > MANY_CELLS
}
