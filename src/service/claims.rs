//! Claiming cells, so that each is fetched once, by tasks that no caller can stop once they have begun.

use std::sync::Arc;

use super::engine::{Engine, Mine, Waiter};
use super::judge::Judge;
use super::queue::{Queued, Refusal};
use super::report::Launch;
use super::scouting;
use super::telemetry;
use crate::cache::{LookedUp, Unclaimed};
use crate::cores::aside;
use crate::domain::batch::reports;
use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::page::PageDays;
use crate::tier::Tier;
use crate::upstream::{Class, Client, Interest, Stake};

/// The name under which warming counts as a client. No configured client's name has a control character.
const WARMER: &str = "\0warm";

/// A claim to cells that the queue has accepted.
pub(super) struct Own {
    mine: Mine,
    queued: Queued,
    looked_up: LookedUp,
}

impl Engine {
    /// Joins the fetches of those `wanted` cells that other queries are fetching, and claims the others.
    ///
    /// # Errors
    ///
    /// If the queue accepts no more cells, or if a site's zone has changed since they were looked up. Then it claims nothing.
    pub(super) fn claim(
        &self,
        wanted: impl IntoIterator<Item = CellKey>,
        looked_up: LookedUp,
        stake: &Stake,
    ) -> Result<(Vec<Waiter>, Option<Own>), Unclaimed<Refusal>> {
        let mut queued = None;
        let interest = Interest::new(stake.clone());
        let claim = self.cells.claim(wanted, looked_up, interest, |cells| {
            queued = Some(self.queue.admit(&stake.client, cells)?);
            Ok(())
        })?;
        let own = claim.mine.zip(queued).map(|(mine, queued)| Own {
            mine,
            queued,
            looked_up,
        });
        Ok((claim.joined, own))
    }

    /// Starts the fetches of the claimed cells, by way of the tier if there is one. Returns the fetches, and the cells that had arrived
    /// between the look-up and the claim. The reports of a `heavy` claim are planned beside the connections.
    pub(super) fn begin(
        self: &Arc<Self>,
        own: Own,
        judge: &Judge,
        stake: &Stake,
        heavy: bool,
    ) -> (Vec<Waiter>, Vec<PageDays>) {
        // A tier of this process alone has nothing newer than memory, so a refresh need not ask it.
        let is_of_use = |tier: &&Arc<dyn Tier>| stake.class != Class::Refresh || tier.is_shared();
        if let Some(tier) = self.tier.as_ref().filter(is_of_use) {
            let fetches = vec![own.mine.waiter()];
            self.scout(own, tier, judge, stake);
            return (fetches, Vec::new());
        }
        let Own { mine, queued, .. } = own;
        let (found, fetches) = aside(heavy, || {
            let found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
            let fetches = mine.split(&found, |missing| self.plan(missing, stake));
            (found, fetches)
        });
        // Memory has all that a tier may have had.
        let launch = Launch {
            judge: judge.clone(),
            class: stake.class,
            outdated: Arc::default(),
            lease: None,
        };
        (self.launch_all(fetches, queued, &launch), found)
    }

    /// Looks for claimed cells in the tier, in a task that no caller can stop. It requests those that no replica is fetching from the
    /// vendor, and looks for the others again as long as a query waits. All cells that it finds enter the cache, even those that serve only
    /// if the vendor fails.
    fn scout(self: &Arc<Self>, own: Own, tier: &Arc<dyn Tier>, judge: &Judge, stake: &Stake) {
        let Own {
            mut mine,
            mut queued,
            looked_up,
        } = own;
        let (engine, tier) = (Arc::clone(self), Arc::clone(tier));
        let (judge, stake) = (judge.clone(), stake.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            let mut patience = tier.patience();
            loop {
                // Before leasing anything, since all leased cells are fetched.
                let mut found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
                patience.renew();
                let look =
                    scouting::look(&mine, &*tier, &judge, stake.class, &found, &mut patience);
                let mut seen = look.await;
                let (fetches, rest) = aside(seen.is_heavy, || {
                    found.append(&mut seen.below.found);
                    // Nothing is leased: all were found.
                    let all = (seen.is_heavy && seen.lease.is_none()).then_some(&*found);
                    let below = &seen.below;
                    mine.fill(&below.usable, all, below.stale.clone(), |key, cell| {
                        judge.may_show(key, cell)
                    });
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
                let looked_up = engine.looks_up(looked_up.shape);
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

    /// Fetches the `stale` cells in the background of the answer to `client`, if the queue takes them.
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
            let own = Own {
                mine,
                queued,
                looked_up,
            };
            // Nobody waits for them.
            self.begin(own, judge, &refresh, false);
        }
    }

    /// Fetches, in the lowest class, those `wanted` cells that no other query is fetching, and joins the fetches of the others.
    ///
    /// # Errors
    ///
    /// If the queue accepts no more cells, or if a site's zone has changed since they were looked up. Then it fetches nothing.
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
        let (mut flights, own) = self.claim(wanted.iter().copied(), looked_up, &stake)?;
        if let Some(own) = own {
            flights.extend(self.begin(own, judge, &stake, false).0);
        }
        Ok(flights)
    }

    fn plan(&self, missing: &[CellKey], stake: &Stake) -> Vec<(ReportRequest, Interest)> {
        reports(missing, self.upstream.bounds())
            .into_iter()
            .map(|request| (request, Interest::new(stake.clone())))
            .collect()
    }
}
