//! Writes fetched cells to the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};
use jiff::civil::Date;

use super::core::Core;
use super::lease::owner;
use super::scripts::PUT;
use super::value::revision;
use crate::domain::cell::Cell;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::store::{Cmd, Unavailable, Value, cmd};
use crate::tier::telemetry::{self, Put};
use crate::tier::{Epoch, Landed, Lease, retain_held};

/// Maximum number of bytes of pages that may wait to be written. Further pages are dropped, since they can be fetched again.
const MAX_BYTES: usize = 16 << 20;
/// Number of attempts to write a page that others change at the same time.
const TRIES: usize = 8;

impl Core {
    /// Writes the cells whose claims are still held, in the background.
    pub(super) fn put(self: &Arc<Self>, mut landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32) {
        retain_held(&mut landed.cells, held);
        let (lease, bytes) = (landed.lease, landed.bytes());
        let mut pages: BTreeMap<SeriesMonth, BTreeMap<Date, Cell>> = BTreeMap::new();
        for (key, cell) in landed.cells {
            let month = SeriesMonth::of(&key);
            pages.entry(month).or_default().insert(key.date, cell);
        }
        let came: Vec<(SeriesMonth, u32)> = pages
            .iter()
            .map(|(month, cells)| (*month, days_of(cells.keys())))
            .collect();
        // The store ends these leases when the page is written; otherwise the task below does.
        self.leases.lock().end(lease.id, &came, self.settings.lease);
        let writing = self.writing.fetch_add(bytes, Ordering::AcqRel);
        let core = Arc::clone(self);
        let shapes = landed.shapes;
        tokio::spawn(async move {
            if writing + bytes > MAX_BYTES || lease.epoch.is_none() || !core.tell_first().await {
                telemetry::put(Put::Dropped, pages.len());
                core.end_leases(lease.id, &came).await;
            } else {
                let core = &core;
                let shapes = &shapes;
                let writes = pages.into_iter().filter_map(|(month, cells)| {
                    let shape = *shapes.get(&month)?;
                    Some(async move {
                        let days = days_of(cells.keys());
                        let put = core.write(&month, shape, cells, lease).await;
                        telemetry::put(put, 1);
                        if !matches!(put, Put::Stored | Put::Merged) {
                            core.end_leases(lease.id, &[(month, days)]).await;
                        }
                    })
                });
                let mut writes = stream::iter(writes).buffer_unordered(16);
                while writes.next().await.is_some() {}
            }
            core.writing.fetch_sub(bytes, Ordering::AcqRel);
        });
    }

    /// Writes cells into a page, except where the page has newer ones.
    async fn write(
        &self,
        month: &SeriesMonth,
        shape: MonthShape,
        cells: BTreeMap<Date, Cell>,
        lease: Lease,
    ) -> Put {
        let Some(epoch) = lease.epoch else {
            return Put::Dropped;
        };
        let limit = 2 * self.settings.timeout;
        let keys = [self.key(month), self.lease_key(month)];
        let mut read = cmd("GET");
        let read = read.arg(&keys[0]);
        let mut there = match self.link.query::<Option<Vec<u8>>>(read, limit).await {
            Ok(there) => there.unwrap_or_default(),
            Err(Unavailable::Skipped) => return Put::Dropped,
            Err(_) => return Put::Refused,
        };
        for _ in 0..TRIES {
            let (merged, with_others) =
                self.merged((month, &keys[0]), shape, &there, &cells, epoch);
            let value = self.encode(&keys[0], shape, epoch.incarnation, &merged);
            let arguments = |command: &mut Cmd| {
                command.arg(revision(&there)).arg(&value);
                command.arg(self.settings.keep.as_millis());
                command.arg(owner(lease.id)).arg(days_of(cells.keys()));
            };
            let put = self.link.eval::<Value>(&PUT, &keys, arguments, limit).await;
            self.note(put.as_ref().err());
            match put {
                Ok(Value::Int(1)) => {
                    telemetry::bytes("write", value.len());
                    return if with_others {
                        Put::Merged
                    } else {
                        Put::Stored
                    };
                }
                Ok(Value::BulkString(other)) => there = other,
                Err(Unavailable::Skipped) => return Put::Dropped,
                Ok(_) | Err(_) => return Put::Refused,
            }
        }
        Put::Conflict
    }

    /// The page's own cells merged with the new ones, and whether it had any.
    fn merged(
        &self,
        (month, name): (&SeriesMonth, &str),
        shape: MonthShape,
        there: &[u8],
        cells: &BTreeMap<Date, Cell>,
        epoch: Epoch,
    ) -> (BTreeMap<Date, (Cell, u64)>, bool) {
        let value = self.decode(month, name, shape, there);
        let value = value.filter(|value| value.incarnation == epoch.incarnation);
        let allowed = |epoch| self.register.lock().allows(month, epoch);
        let mut merged = value.map_or_else(BTreeMap::new, |value| value.cells(month, allowed));
        let with_others = !merged.is_empty();
        for (date, cell) in cells {
            let newer = merged.get(date).is_some_and(|(known, known_epoch)| {
                (*known_epoch, known.fetched_at()) > (epoch.number, cell.fetched_at())
            });
            if !newer {
                merged.insert(*date, (cell.clone(), epoch.number));
            }
        }
        (merged, with_others)
    }
}

fn days_of<'a>(dates: impl Iterator<Item = &'a Date>) -> u32 {
    dates.fold(0, |days, date| days | 1 << date.day())
}
