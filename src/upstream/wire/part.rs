//! The rows of one part of a site, packed into a fraction of their text.

use super::fault::Fault;
use crate::domain::metric::VendorMetric;

/// The figures of a row, by [`VendorMetric`]: NaN if absent.
pub(in crate::upstream) type Values = [f64; METRICS];

/// No figure at all.
pub(in crate::upstream) const NO_VALUES: Values = [f64::NAN; METRICS];

const METRICS: usize = VendorMetric::ALL.len();

/// Rows that differ only in their time and their figures, in the order of arrival.
///
/// They stay as they are here: a bucket may have several rows for several reasons, which only all rows of a site together can
/// distinguish.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream) struct Part {
    /// The vendor's filter.
    pub(in crate::upstream) filter: Option<Box<str>>,
    /// The vendor's regions, in an order of our own.
    pub(in crate::upstream) regions: Option<Box<str>>,
    /// For each row, its place and a bit for each metric that it has.
    heads: Vec<u32>,
    /// The figures of all rows, one after another.
    values: Vec<f64>,
}

impl Part {
    /// A part without rows.
    pub(super) fn new(filter: Option<Box<str>>, regions: Option<Box<str>>) -> Self {
        Self {
            filter,
            regions,
            ..Self::default()
        }
    }

    /// Bytes of a row of `values`, including a vector's spare capacity.
    pub(super) fn row_size(values: &Values) -> usize {
        2 * (size_of::<u32>() + present(values).count() * size_of::<f64>())
    }

    /// Adds a row at `place` (see [`super::ReportShape::place`]).
    pub(super) fn push(&mut self, place: usize, values: &Values) -> Result<(), Fault> {
        let mask = present(values).fold(0, |mask, (metric, _)| mask | 1 << metric);
        let head = u32::try_from(place << METRICS | mask).map_err(|_| Fault::TooLarge)?;
        self.heads.push(head);
        self.values.extend(present(values).map(|(_, value)| value));
        Ok(())
    }

    /// Whether different rows of one bucket have different dwell times.
    pub(super) fn has_two_dwell_times(&self) -> bool {
        let rows = self
            .rows()
            .map(|(place, values)| (place, values[VendorMetric::DwellTime as usize]));
        let mut of_place: Vec<_> = rows.filter(|(_, stayed)| !stayed.is_nan()).collect();
        of_place.sort_unstable_by_key(|(place, _)| *place);
        let mut pairs = of_place.windows(2);
        pairs.any(|pair| pair[0].0 == pair[1].0 && pair[0].1.to_bits() != pair[1].1.to_bits())
    }

    /// The place of its newest row.
    pub(super) fn newest(&self) -> Option<usize> {
        let newest = self.heads.iter().max()?;
        Some((newest >> METRICS) as usize)
    }

    /// Place and figures of each row.
    pub(in crate::upstream) fn rows(&self) -> impl Iterator<Item = (usize, Values)> {
        let mut rest = self.values.iter();
        self.heads.iter().map(move |head| {
            let mut values = NO_VALUES;
            for (metric, value) in values.iter_mut().enumerate() {
                if head & 1 << metric != 0 {
                    *value = *rest.next().expect("a value was kept for each bit");
                }
            }
            ((head >> METRICS) as usize, values)
        })
    }
}

fn present(values: &Values) -> impl Iterator<Item = (usize, f64)> {
    let values = values.iter().copied().enumerate();
    values.filter(|(_, value)| !value.is_nan())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_rows_come_out_unchanged(rows in prop::collection::vec((0..100_000_usize, prop::array::uniform5(prop::option::of(0.0..1e15_f64))), 0..50)) {
            let mut part = Part::default();
            for (place, values) in &rows {
                part.push(*place, &values.map(|value| value.unwrap_or(f64::NAN))).unwrap();
            }

            let came: Vec<_> = part
                .rows()
                .map(|(place, values)| (place, values.map(|value| (!value.is_nan()).then_some(value))))
                .collect();

            prop_assert_eq!(came, rows);
        }
    }
}
