//! A generation: one file of pages.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::ops::RangeBounds;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Error, ReadOnlyTable, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};

use super::fault::{Fault, guarded};
use crate::domain::cell::Cell;
use crate::domain::purge::Purge;
use crate::tier::codec::{Codec, customer_prefix, month_of, site_prefix};

/// Pages, by name.
const PAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("pages");
/// Learned facts, by name.
const KNOWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("known");
/// The number of the generation; the young one has the higher number.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
const NUMBER: &str = "generation";

/// Bytes of one file that the engine may cache in memory. The system's page cache holds more.
const CACHE_BYTES: usize = 16 << 20;

/// One file of pages.
#[derive(Debug)]
pub(super) struct Generation {
    database: Database,
    pub(super) path: PathBuf,
    /// Distinguishes the generations of a folder; the young one has the higher number.
    pub(super) number: u64,
}

/// Names with their new content.
pub(super) type Entries = Vec<(String, Vec<u8>)>;

impl Generation {
    /// Opens the file at `path`, whatever its state.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let database = database(file, path)?;
        let number = guarded(path, || {
            let transaction = database.begin_read()?;
            let number = transaction.open_table(FACTS)?.get(NUMBER)?;
            // All tables are made together with the number.
            transaction.open_table(PAGES)?;
            transaction.open_table(KNOWN)?;
            Ok(number.map(|number| number.value()))
        })?;
        Ok(Self {
            number: number.ok_or_else(|| Fault::broken(path, "it has no number"))?,
            path: path.to_owned(),
            database,
        })
    }

    /// Makes the file at `path`, which must not exist, with the learned facts.
    pub(super) fn create(path: &Path, number: u64, known: &Entries) -> Result<Self, Fault> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path)?;
        let made = Self::begin(file, path, number, known);
        if made.is_err() {
            // A file without its number counts as broken: it goes now, or at the next start if it cannot be removed.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    fn begin(file: File, path: &Path, number: u64, known: &Entries) -> Result<Self, Fault> {
        let generation = Self {
            database: database(file, path)?,
            path: path.to_owned(),
            number,
        };
        generation.change(|transaction| {
            transaction.open_table(FACTS)?.insert(NUMBER, number)?;
            transaction.open_table(PAGES)?;
            insert(&mut transaction.open_table(KNOWN)?, known)
        })?;
        Ok(generation)
    }

    /// Bytes that it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        // The system counts in blocks of this size, regardless of the file system's own block size.
        const BLOCK: u64 = 512;
        std::fs::metadata(&self.path).map_or(0, |file| file.blocks() * BLOCK)
    }

    /// Looks for those of the named `pages` that are still missing, and puts the result of `read` for the content of each in its place.
    /// Returns the places where it found one.
    pub(super) fn find<T>(
        &self,
        names: &[String],
        pages: &mut [Option<T>],
        mut read: impl FnMut(usize, &[u8]) -> T,
    ) -> Result<Vec<usize>, Fault> {
        if pages.iter().all(Option::is_some) {
            return Ok(Vec::new());
        }
        let found = self.look(PAGES, |table| {
            let mut found = Vec::new();
            for nth in (0..names.len()).filter(|nth| pages[*nth].is_none()) {
                if let Some(page) = table.get(&*names[nth])? {
                    found.push((nth, read(nth, page.value())));
                }
            }
            Ok(found)
        })?;
        let places = found.iter().map(|(nth, _)| *nth).collect();
        for (nth, page) in found {
            pages[nth] = Some(page);
        }
        Ok(places)
    }

    /// All learned facts.
    pub(super) fn known(&self) -> Result<Entries, Fault> {
        self.look(KNOWN, |table| {
            let entries = table.iter()?.map(|entry| {
                let (name, content) = entry?;
                Ok((name.value().to_owned(), content.value().to_vec()))
            });
            entries.collect()
        })
    }

    /// Writes pages and learned facts in one durable step.
    pub(super) fn put(&self, pages: &Entries, known: &Entries) -> Result<(), Fault> {
        self.change(|transaction| {
            insert(&mut transaction.open_table(PAGES)?, pages)?;
            insert(&mut transaction.open_table(KNOWN)?, known)
        })
    }

    /// Forgets the figures of the `purges` in one durable step, and all learned facts unless they are to stay.
    pub(super) fn forget(
        &self,
        purges: &[&Purge],
        codec: &Codec,
        learned_stays: bool,
    ) -> Result<(), Fault> {
        self.change(|transaction| {
            if !learned_stays {
                transaction.open_table(KNOWN)?.retain(|_, _| false)?;
            }
            for purge in purges {
                forget(transaction, purge, codec)?;
            }
            Ok(())
        })
    }

    /// Forgets cells requested later than `time`, in one durable step.
    pub(super) fn forget_later_than(&self, time: Timestamp, codec: &Codec) -> Result<(), Fault> {
        self.change(|transaction| {
            let later = |_, cell: &Cell| time < cell.fetched_at();
            reduce(&mut transaction.open_table(PAGES)?, .., |name, page| {
                if Codec::is_later(page, time) {
                    codec.without(name, page, later).map(Cow::Owned)
                } else {
                    Some(Cow::Borrowed(page))
                }
            })
        })
    }

    fn look<T>(
        &self,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
        look: impl FnOnce(&ReadOnlyTable<&'static str, &'static [u8]>) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        guarded(&self.path, || {
            look(&self.database.begin_read()?.open_table(table)?)
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<(), Fault> {
        guarded(&self.path, || {
            let mut transaction = self.database.begin_write()?;
            // After a kill, a file of a million pages then opens in two milliseconds instead of a third of a second.
            transaction.set_quick_repair(true);
            change(&transaction)?;
            Ok(transaction.commit()?)
        })
    }
}

fn forget(transaction: &WriteTransaction, purge: &Purge, codec: &Codec) -> Result<(), Error> {
    let mut table = transaction.open_table(PAGES)?;
    for customer in &purge.customers {
        let prefixes: Vec<String> = match &purge.sites {
            None => vec![customer_prefix(*customer)],
            Some(sites) => sites
                .iter()
                .map(|site| site_prefix(*customer, *site))
                .collect(),
        };
        for prefix in prefixes {
            let names = &*prefix..&*after(&prefix);
            reduce(&mut table, names, |name, page| {
                without(name, page, purge, codec)
            })?;
        }
    }
    Ok(())
}

/// Replaces each page in that range of names by its `rest`, and removes it if there is none.
fn reduce<'a>(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    names: impl RangeBounds<&'a str> + 'a,
    rest: impl for<'p> Fn(&str, &'p [u8]) -> Option<Cow<'p, [u8]>>,
) -> Result<(), Error> {
    let mut changed = Entries::new();
    table.retain_in(names, |name, page| {
        let rest = rest(name, page);
        let stays = rest.is_some();
        if let Some(Cow::Owned(rest)) = rest {
            changed.push((name.to_owned(), rest));
        }
        stays
    })?;
    insert(table, &changed)
}

fn insert(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    entries: &Entries,
) -> Result<(), Error> {
    for (name, content) in entries {
        table.insert(&**name, &**content)?;
    }
    Ok(())
}

/// The rest of a page after a purge that covers its site.
fn without<'a>(name: &str, page: &'a [u8], purge: &Purge, codec: &Codec) -> Option<Cow<'a, [u8]>> {
    let dates = purge.dates?;
    let months = [dates.from(), dates.to()].map(|date| (date.year(), date.month()));
    if (months[0]..=months[1]).contains(&month_of(name)?) {
        let rest = codec.without(name, page, |date, _| purge.covers_date(date));
        rest.map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(page))
    }
}

/// The first text after all those that begin with `prefix`, which must end in an ASCII character.
fn after(prefix: &str) -> String {
    let mut after = prefix.to_owned();
    let last = after.pop().expect("no prefix is empty");
    after.push(char::from_u32(u32::from(last) + 1).expect("a sign of ASCII has a next one"));
    after
}

fn database(file: File, path: &Path) -> Result<Database, Fault> {
    guarded(path, || {
        let backend = FileBackend::new(file)?;
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)?;
        Ok(database)
    })
}
