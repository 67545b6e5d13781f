//! What gives the words of a query their meaning.

use super::scope::Scope;
use crate::domain::calendar::Calendar;
use crate::domain::directory::SiteDirectory;
use crate::http::settings::Settings;

/// What gives the words of one caller's query their meaning, apart from the day.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What the caller may see.
    pub scope: Scope<'a>,
    /// The configured sites.
    pub directory: &'a SiteDirectory,
    /// The limits and defaults.
    pub settings: &'a Settings,
}

impl Terms<'_> {
    /// The calendar of a caller that does not name one.
    pub(super) fn default_calendar(&self) -> Calendar {
        Calendar::Gregorian(self.settings.week_start)
    }
}
