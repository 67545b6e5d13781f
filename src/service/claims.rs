//! Claiming cells, so that each is fetched once, by tasks that no caller can stop once they have begun.

use std::sync::Arc;

use super::engine::{Engine, Mine, Waiter};
use super::judge::Judge;
use super::queue::{Queued, Refusal};
use super::report::Launch;
use super::scouting::{self, aside};
use super::telemetry;
use crate::cache::{LookedUp, Unclaimed};
use crate::domain::batch::reports;
use crate::domain::cell::{CellKey, ReportRequest};
use crate::tier::Tier;
use crate::upstream::{Class, Client, Interest, Stake};

/// The client that warming counts as. No configured client's name has a control character.
const WARMER: &str = "\0warm";

impl Engine {
    /// Looks for claimed cells in the tier, in a task that no caller can stop, and has the vendor asked for those that nobody else is fetching;
    /// for the others it looks again, as long as somebody waits. What is found is in the cache from then on, also what only serves if the
    /// vendor fails.
    pub(super) fn scout(
        self: &Arc<Self>,
        mut mine: Mine,
        mut queued: Queued,
        tier: &Arc<dyn Tier>,
        judge: &Judge,
        (stake, looked_up): (&Stake, LookedUp),
    ) {
        let (engine, tier) = (Arc::clone(self), Arc::clone(tier));
        let (judge, stake) = (judge.clone(), stake.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            let mut patience = tier.patience();
            loop {
                // Before anything is leased: what is leased is fetched.
                let mut found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
                patience.renew();
                let look =
                    scouting::look(&mine, &*tier, &judge, stake.class, &found, &mut patience);
                let mut seen = look.await;
                let (fetches, rest) = aside(seen.is_heavy, || {
                    mine.fill(&seen.below.usable, seen.below.stale.clone(), |key, cell| {
                        judge.may_show(key, cell)
                    });
                    found.append(&mut seen.below.found);
                    let plan = |missing: &[CellKey]| engine.plan(missing, &stake);
                    mine.split_off(&found, &seen.elsewhere, plan)
                });
                let days = seen.elsewhere.iter();
                let days = days.map(|(_, days)| days.count_ones() as usize);
                let left = queued.split(days.sum());
                let launch = Launch {
                    judge: judge.clone(),
                    class: stake.class,
                    outdated: Arc::new(seen.below.outdated),
                    lease: seen.lease,
                };
                engine.launch_all(fetches, queued, &launch);
                let looked_up = LookedUp {
                    completions: engine.cells.completions(),
                    ..looked_up
                };
                engine.refresh(&seen.below.stale, &stake.client, looked_up, &judge);
                // The next query finds the cells that another replica refreshes.
                let Some(rest) = rest.filter(|_| stake.class != Class::Refresh) else {
                    return;
                };
                (mine, queued) = (rest, left);
                looks += 1;
                tokio::time::sleep(scouting::pause(looks)).await;
                if mine.end_if_unwanted() {
                    return;
                }
            }
        });
    }

    /// Fetches the `stale` cells behind the answer to that client, where the queue takes them. A tier of this process alone
    /// is not looked into: what is in memory is what it has, or newer.
    pub(super) fn refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        client: &Client,
        looked_up: LookedUp,
        judge: &Judge,
    ) {
        if stale.is_empty() {
            return;
        }
        let refresh = Stake {
            client: Arc::clone(client),
            class: Class::Refresh,
        };
        let mut queued = None;
        let claimed = self.cells.claim_refresh(
            stale,
            (looked_up, self.clock.now()),
            Interest::new(refresh.clone()),
            |cells| {
                queued = self.queue.admit(client, cells).ok();
                if queued.is_none() {
                    telemetry::refresh("skipped");
                }
                queued.is_some()
            },
        );
        if let (Some(mine), Some(queued)) = (claimed, queued) {
            if let Some(tier) = self.tier.as_ref().filter(|tier| tier.is_shared()) {
                return self.scout(mine, queued, tier, judge, (&refresh, looked_up));
            }
            let found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
            let fetches = mine.split(&found, |missing| self.plan(missing, &refresh));
            // Nobody waits for them.
            self.launch_all(fetches, queued, &Launch::of_memory(judge, Class::Refresh));
        }
    }

    /// Fetches at the lowest class those of the `wanted` cells that no other query is fetching, and joins the fetches of the others.
    ///
    /// # Errors
    ///
    /// If the queue takes no more cells, or if a site's zone has changed since they were looked up; nothing is fetched then.
    pub(super) fn warm(
        self: &Arc<Self>,
        wanted: &[CellKey],
        looked_up: LookedUp,
        judge: &Judge,
    ) -> Result<Vec<Waiter>, Unclaimed<Refusal>> {
        let stake = Stake {
            client: WARMER.into(),
            class: Class::Warm,
        };
        let mut queued = None;
        let wanted = wanted.iter().copied();
        let interest = Interest::new(stake.clone());
        let claim = self.cells.claim(wanted, looked_up, interest, |cells| {
            queued = Some(self.queue.admit(&stake.client, cells)?);
            Ok(())
        })?;
        let mut flights = claim.joined;
        let (Some(mine), Some(queued)) = (claim.mine, queued) else {
            return Ok(flights);
        };
        if let Some(tier) = &self.tier {
            flights.push(mine.waiter());
            self.scout(mine, queued, tier, judge, (&stake, looked_up));
            return Ok(flights);
        }
        let found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
        let fetches = mine.split(&found, |missing| self.plan(missing, &stake));
        let launch = Launch::of_memory(judge, Class::Warm);
        flights.extend(self.launch_all(fetches, queued, &launch));
        Ok(flights)
    }

    pub(super) fn plan(
        &self,
        missing: &[CellKey],
        stake: &Stake,
    ) -> Vec<(ReportRequest, Interest)> {
        reports(missing, self.bounds)
            .into_iter()
            .map(|request| (request, Interest::new(stake.clone())))
            .collect()
    }
}
