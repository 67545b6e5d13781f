//! A generation: one file of pages.

use std::borrow::Cow;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Error, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
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
pub(super) struct Generation {
    database: Database,
    path: PathBuf,
    /// Distinguishes the generations of a folder; the young one has the higher number.
    pub(super) number: u64,
}

/// Names with their new content.
pub(super) type Entries = Vec<(String, Vec<u8>)>;

impl Generation {
    /// Opens the file at `path`, whatever its state.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let file = private(OpenOptions::new().read(true).write(true)).open(path)?;
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
        let file = private(options.read(true).write(true).create_new(true)).open(path)?;
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
            let mut table = transaction.open_table(KNOWN)?;
            for (name, content) in known {
                table.insert(&**name, &**content)?;
            }
            Ok(())
        })?;
        Ok(generation)
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        // The system counts in blocks of this size, regardless of the file system's own block size.
        const BLOCK: u64 = 512;
        std::fs::metadata(&self.path).map_or(0, |file| file.blocks() * BLOCK)
    }

    /// The content of each of the `names`.
    pub(super) fn pages<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        self.read(names, |_, page| page.to_vec())
    }

    /// The result of `read` for the content of each of the `names`, which are counted from 0.
    pub(super) fn read<'a, T>(
        &self,
        names: impl Iterator<Item = &'a str>,
        mut read: impl FnMut(usize, &[u8]) -> T,
    ) -> Result<Vec<Option<T>>, Fault> {
        self.look(PAGES, |table| {
            let names = names.enumerate();
            names
                .map(|(nth, name)| Ok(table.get(name)?.map(|page| read(nth, page.value()))))
                .collect()
        })
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
            for (definition, entries) in [(PAGES, pages), (KNOWN, known)] {
                let mut table = transaction.open_table(definition)?;
                for (name, content) in entries {
                    table.insert(&**name, &**content)?;
                }
            }
            Ok(())
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
            let mut table = transaction.open_table(PAGES)?;
            let mut changed = Entries::new();
            table.retain(|name, page| {
                if !Codec::is_later(page, time) {
                    return true;
                }
                let later = |_, cell: &Cell| time < cell.fetched_at();
                let rest = codec.without(name, page, later);
                let stays = rest.is_some();
                changed.extend(rest.map(|rest| (name.to_owned(), rest)));
                stays
            })?;
            for (name, page) in changed {
                table.insert(&*name, &*page)?;
            }
            Ok(())
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

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("path", &self.path)
            .field("number", &self.number)
            .finish_non_exhaustive()
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
            let after = after(&prefix);
            let mut changed = Entries::new();
            table.retain_in(&*prefix..&*after, |name, page| {
                let Some(rest) = without(name, page, purge, codec) else {
                    return false;
                };
                if let Cow::Owned(rest) = rest {
                    changed.push((name.to_owned(), rest));
                }
                true
            })?;
            for (name, page) in changed {
                table.insert(&*name, &*page)?;
            }
        }
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

/// Opens a file; a new one is readable by its owner only.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
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
