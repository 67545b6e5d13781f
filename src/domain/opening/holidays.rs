//! The public holidays of a country.

use std::fmt;

use opening_hours::localization::Country;
use opening_hours::{Context, ContextHolidays};

/// The country whose public holidays `PH` means, by its code of ISO 3166-1; `None` if they are unknown.
#[must_use]
pub fn country(code: &str) -> Option<Holidays> {
    let country: Country = code.parse().ok()?;
    let holidays = country.holidays();
    holidays.get_public().iter().next()?;
    Some(Holidays(country))
}

/// The public holidays of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holidays(Country);

impl fmt::Display for Holidays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iso_code())
    }
}

impl Holidays {
    /// Their dates.
    pub(super) fn dates(self) -> ContextHolidays {
        self.0.holidays()
    }

    /// The context in which hours are evaluated with them.
    pub(super) fn context(self) -> Context {
        Context::default().with_holidays(self.dates())
    }
}
