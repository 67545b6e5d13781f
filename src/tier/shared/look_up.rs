//! Reading pages, and leasing what is to be fetched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::core::{Core, PIECE};
use super::scripts::CLAIM;
use crate::cores;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::store::{Unavailable, cmd};
use crate::tier::telemetry::{self, Outcome};
use crate::tier::{Claimed, Grant, Lease, Patience};

/// The time that each page adds to the limit of a call.
const EACH_PAGE: Duration = Duration::from_micros(50);
/// Commands for one query at a time.
const AT_ONCE: usize = 4;

impl Core {
    /// Waits until the register is known.
    async fn known_register(&self, until: Instant) -> bool {
        let mut pulses = self.pulses.subscribe();
        let known = timeout_at(until, pulses.wait_for(|pulses| pulses.succeeded > 0)).await;
        known.is_ok_and(|known| known.is_ok())
    }

    /// How long a call for that number of pages may take.
    fn limit(&self, pages: usize) -> Duration {
        let timeout = self.settings.timeout;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        EACH_PAGE.saturating_mul(pages).min(timeout) + timeout
    }

    /// Notes that a call has taken that long. After one that came to nothing, a query has no time left to ask the others for places at the
    /// vendor as well.
    fn looked(&self, patience: &mut Patience, began: Instant, has_worked: bool) {
        patience.took(began.elapsed(), has_worked);
        let replicas = self.register.lock().replicas();
        if !has_worked && replicas > 0 {
            self.allowance.miss(replicas, false);
        }
    }

    /// Reads pages; what cannot be had in time is not there.
    pub(super) async fn read(
        self: &Arc<Self>,
        months: Vec<(SeriesMonth, MonthShape)>,
        patience: &mut Patience,
    ) -> Vec<Page> {
        let began = Instant::now();
        let nothing = || {
            telemetry::read(Outcome::Skipped, months.len());
            vec![Page::default(); months.len()]
        };
        let Some(limit) = patience.limit(self.limit(months.len())) else {
            return nothing();
        };
        let until = began + limit;
        if !self.known_register(until).await {
            self.looked(patience, began, false);
            return nothing();
        }
        let pieces = months
            .chunks(PIECE)
            .map(|piece| self.read_piece(piece, until));
        let pieces: Vec<_> = pieces.collect();
        let pieces = stream::iter(pieces).buffered(AT_ONCE);
        let pieces: Vec<Option<Vec<Page>>> = pieces.collect().await;
        telemetry::took("read", began.elapsed());
        let has_worked = pieces.iter().all(Option::is_some);
        let kept = months.chunks(PIECE).zip(pieces);
        let kept: Vec<Page> = kept
            .flat_map(|(piece, kept)| kept.unwrap_or_else(|| vec![Page::default(); piece.len()]))
            .collect();
        if !kept.iter().all(Page::is_empty) {
            self.hear_first(until).await;
        }
        self.looked(patience, began, has_worked);
        kept
    }

    /// Reads pages; `None`: they cannot be had.
    async fn read_piece(
        self: &Arc<Self>,
        piece: &[(SeriesMonth, MonthShape)],
        until: Instant,
    ) -> Option<Vec<Page>> {
        let left = until.saturating_duration_since(Instant::now());
        let names: Vec<String> = piece.iter().map(|(month, _)| self.key(month)).collect();
        let mut command = cmd("MGET");
        let found: Result<Vec<Option<Vec<u8>>>, _> =
            self.link.query(command.arg(&names), left).await;
        match found {
            Ok(pages) if pages.len() == piece.len() => {
                let (core, piece) = (Arc::clone(self), piece.to_vec());
                // The pieces of a large query take all cores.
                let judged = cores::work(move || {
                    let mut told = telemetry::Pages::default();
                    let found = piece.iter().zip(&names).zip(pages);
                    let judged = found.map(|(((month, shape), name), value)| {
                        let bytes = value.as_ref().map_or(0, Vec::len);
                        let (outcome, page) = core.judge(month, name, *shape, value);
                        told.add(outcome, bytes);
                        page
                    });
                    judged.collect()
                });
                let judged = judged.await;
                judged
                    .inspect_err(|error| tracing::error!(%error, "could not decode values of the shared store"))
                    .ok()
            }
            unavailable => {
                let outcome = match unavailable {
                    Err(Unavailable::Skipped) => Outcome::Skipped,
                    _ => Outcome::Timeout,
                };
                telemetry::read(outcome, piece.len());
                None
            }
        }
    }

    /// The usable part of the page in a value.
    fn judge(
        &self,
        month: &SeriesMonth,
        name: &str,
        shape: MonthShape,
        value: Option<Vec<u8>>,
    ) -> (Outcome, Page) {
        let Some(value) = value else {
            return (Outcome::Miss, Page::default());
        };
        let Some(value) = self.decode(month, name, shape, &value) else {
            return (Outcome::Corrupt, Page::default());
        };
        let register = self.register.lock();
        let allowed = if value.incarnation == register.incarnation() {
            value.days(|epoch| register.allows(month, epoch))
        } else {
            0
        };
        drop(register);
        match value.page {
            None => (Outcome::Shape, Page::default()),
            Some(page) if !page.is_empty() && page.days() & allowed == 0 => {
                (Outcome::Purged, Page::default())
            }
            Some(page) if page.days() & !allowed == 0 => (Outcome::Hit, page),
            Some(page) => (Outcome::Hit, page.without(!allowed).0),
        }
    }

    /// Leases days of months, and tells which of them.
    pub(super) async fn claim(
        &self,
        wanted: Vec<(SeriesMonth, u32)>,
        patience: &mut Patience,
    ) -> Claimed {
        let (wanted, began) = (&wanted, Instant::now());
        let lease = Lease {
            id: rand::random_range(1..=u64::MAX),
            epoch: self.register.lock().epoch(),
        };
        // A script's keys are of one site.
        let mut sites: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (nth, (month, _)) in wanted.iter().enumerate() {
            let sites = sites.entry((month.customer, month.site)).or_default();
            sites.push(nth);
        }
        let pieces = sites.into_values().flat_map(|nths| {
            let pieces = nths.chunks(PIECE).map(<[usize]>::to_vec);
            pieces.collect::<Vec<_>>()
        });
        let limit = patience.limit(self.limit(wanted.len()));
        let until = limit.map(|limit| began + limit);
        let pieces = pieces.map(|piece| self.claim_piece(piece, wanted, lease, until));
        let pieces: Vec<_> = pieces.collect();
        let (mut look_again, mut has_worked) = (false, true);
        let mut grants = vec![Grant::default(); wanted.len()];
        let mut pieces = stream::iter(pieces).buffer_unordered(4 * AT_ONCE);
        while let Some((piece, mine)) = pieces.next().await {
            look_again |= mine.is_some();
            has_worked &= mine.is_some();
            for (at, nth) in piece.iter().enumerate() {
                let (month, days) = wanted[*nth];
                let granted = mine.as_ref().map_or(days, |mine| mine[at] & days);
                grants[*nth] = Grant {
                    mine: granted,
                    theirs: days & !granted,
                };
                if mine.is_some() {
                    self.leases.lock().add(lease.id, month, granted);
                    telemetry::claimed(granted, days & !granted);
                } else {
                    telemetry::alone();
                }
            }
        }
        if limit.is_some() {
            self.looked(patience, began, has_worked);
        }
        Claimed {
            lease,
            grants,
            look_again,
        }
    }

    /// Leases the months at those places, which are of one site; the days of each that are ours now.
    async fn claim_piece(
        &self,
        piece: Vec<usize>,
        wanted: &[(SeriesMonth, u32)],
        lease: Lease,
        until: Option<Instant>,
    ) -> (Vec<usize>, Option<Vec<u32>>) {
        let Some(until) = until else {
            return (piece, None);
        };
        let months: Vec<_> = piece.iter().map(|nth| wanted[*nth]).collect();
        let left = until.saturating_duration_since(Instant::now());
        let mine = self.on_leases_of_site::<Vec<u32>>(&CLAIM, lease.id, &months, left);
        let mine = mine.await;
        self.note(mine.as_ref().err());
        let mine = mine.ok().filter(|mine| mine.len() == piece.len());
        (piece, mine)
    }
}
