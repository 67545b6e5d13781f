//! The figures of several cells in one allocation.

use std::sync::Arc;

use super::Figures;
use super::view::{Shape, TAIL, is_encoded};

/// The figures of several cells, which share one allocation and its overheads.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    bytes: Arc<[u8]>,
    starts: Box<[u32]>,
}

impl Bundle {
    /// Copies the figures of a few cells together; their position identifies them.
    ///
    /// # Panics
    ///
    /// Never: a cell is far smaller than a megabyte, and a page has at most 31 of them.
    #[must_use]
    pub fn new(figures: &[&Figures]) -> Self {
        let encoded: Vec<&[u8]> = figures.iter().map(|figures| figures.encoded()).collect();
        Self::of_bytes(&encoded)
    }

    /// The figures that have these bytes, as [`Figures::encoded`] gives them; `None` where some are bytes that no figures have.
    #[must_use]
    pub fn from_encoded(encoded: &[&[u8]]) -> Option<Self> {
        let all = encoded.iter().all(|bytes| is_encoded(bytes));
        all.then(|| Self::of_bytes(encoded))
    }

    fn of_bytes(encoded: &[&[u8]]) -> Self {
        let len: usize = encoded.iter().map(|bytes| bytes.len()).sum();
        // Made in its place: a vector would be copied once more.
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len + TAIL).collect();
        let mut rest = Arc::get_mut(&mut bytes).expect("nobody else has it");
        let starts = encoded.iter().map(|encoded| {
            let start = u32::try_from(len + TAIL - rest.len()).expect("far below 4 GiB");
            let place;
            (place, rest) = std::mem::take(&mut rest).split_at_mut(encoded.len());
            place.copy_from_slice(encoded);
            start
        });
        let starts = starts.collect();
        Self { bytes, starts }
    }

    /// The figures of the `nth` cell (from 0), sharing the bundle's bytes.
    #[must_use]
    pub fn get(&self, nth: usize) -> Option<Figures> {
        Some(Figures {
            start: *self.starts.get(nth)?,
            bytes: Arc::clone(&self.bytes),
        })
    }

    /// The number of buckets in the day of each cell.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        let starts = self.starts.iter();
        starts.map(|start| Shape::read(&self.bytes[*start as usize..]).slots.into())
    }

    /// Number of cells.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the bundle is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Heap bytes, including the reference counts.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + 2 * size_of::<usize>() + size_of_val(&*self.starts)
    }
}
