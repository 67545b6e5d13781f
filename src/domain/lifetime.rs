//! The dates on which a site exists.

use jiff::civil::Date;

/// The dates on which a site is open at all, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// The first day on which it is open, if known.
    pub opened: Option<Date>,
    /// The first day on which it is closed for good, if known.
    pub closed: Option<Date>,
}

impl Lifetime {
    /// Neither end is known.
    pub const UNKNOWN: Self = Self {
        opened: None,
        closed: None,
    };

    /// Whether the site exists on `date`, as far as is known.
    #[must_use]
    pub fn includes(self, date: Date) -> bool {
        self.opened.is_none_or(|opened| opened <= date)
            && self.closed.is_none_or(|closed| date < closed)
    }

    /// As much of it as matters for figures from `first` to `last`, and for hours past midnight before them.
    #[must_use]
    pub fn within(self, first: Date, last: Date) -> Self {
        Self {
            opened: self.opened.filter(|opened| first <= *opened),
            closed: self.closed.filter(|closed| *closed <= last),
        }
    }
}
