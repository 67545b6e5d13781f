//! The worth of a row: how much of the expected figures was observed, and how final they are.

use std::str::FromStr;

named! {
    /// Knowledge of a site's opening, from which its expected buckets follow. Ascending: the weakest first.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Basis {
        /// Nothing is known: only a day without any figure is known to be missing, and counts as a whole.
        #[default]
        Days = "days",
        /// The caller's own `hours`.
        Hours = "hours",
        /// The site's opening hours.
        Open = "open",
    }
}

named! {
    /// Maturity of a row. Ascending: the least final first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum RowState {
        /// It has not begun.
        Future = "future",
        /// Every site is known to be closed on each of its days.
        Closed = "closed",
        /// One of its days is not over.
        Open = "open",
        /// Its days are over, but late data may still arrive.
        Settling = "settling",
        /// Its figures should no longer change.
        Final = "final",
    }
}

/// The sites of a combined row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sites {
    /// Number of sites whose part is in every figure of the row.
    pub(super) observed: u32,
    /// Number of sites of which something was expected.
    pub(super) expected: u32,
}

/// Coverage of an answer as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The least coverage of any row; `None` if nothing was expected of any.
    pub min: Option<f64>,
    /// Number of rows of which something was expected.
    pub rows: usize,
    /// Number of these with a coverage below 1.
    pub rows_below_1: usize,
    /// The weakest basis of any site.
    pub basis: Basis,
}

/// Least coverage of a figure that is shown: from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MinCoverage(
    /// The bits of the float, because floats are neither `Eq` nor `Hash`.
    u64,
);

impl MinCoverage {
    /// Withholds no figure.
    pub const NONE: Self = Self(0);

    /// The coverage as a number.
    #[must_use]
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Whether it withholds no figure.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for MinCoverage {
    type Err = InvalidMinCoverage;

    /// Plain decimals: digits, with a point and more digits if it is not whole.
    fn from_str(text: &str) -> Result<Self, InvalidMinCoverage> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(InvalidMinCoverage);
        }
        let share: f64 = text.parse().map_err(|_| InvalidMinCoverage)?;
        let is_share = (0.0..=1.0).contains(&share);
        is_share
            .then_some(Self(share.to_bits()))
            .ok_or(InvalidMinCoverage)
    }
}

/// The text is not a coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a coverage is a number from 0 to 1, in plain decimals")]
pub struct InvalidMinCoverage;

/// Buckets of a row that were expected, and how many of them were observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) expected: u32,
    pub(super) observed: u32,
}

impl Counted {
    /// That many buckets, all of them observed.
    ///
    /// # Panics
    ///
    /// If there are more than fit in 32 bits; a day has at most 576.
    pub(super) fn all(buckets: usize) -> Self {
        let buckets = u32::try_from(buckets).expect("a day has at most 576 buckets");
        Self {
            expected: buckets,
            observed: buckets,
        }
    }

    /// Observed over expected; NaN if nothing was expected.
    pub(super) fn share(self) -> f64 {
        if self.observed == self.expected && self.expected > 0 {
            return 1.0;
        }
        f64::from(self.observed) / f64::from(self.expected)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.observed += other.observed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_least_coverage_is_a_plain_decimal_from_0_to_1() {
        for (text, share) in [
            ("0", 0.0),
            ("1", 1.0),
            ("1.000", 1.0),
            ("0.8571", 0.8571),
            ("00.5", 0.5),
        ] {
            let parsed = text.parse::<MinCoverage>().unwrap().get();
            assert_eq!(parsed.to_bits(), f64::to_bits(share), "{text}");
        }
        for text in [
            "", ".5", "1.", "1.01", "-0", "+1", "1e-1", "NaN", "inf", "0,5", "50%", " 1", "0x1",
            "0.5.5", "٠",
        ] {
            assert_eq!(
                text.parse::<MinCoverage>(),
                Err(InvalidMinCoverage),
                "{text}"
            );
        }
        assert!("0.0".parse::<MinCoverage>().unwrap().is_none());
    }
}
