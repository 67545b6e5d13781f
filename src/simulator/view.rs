//! The world as seen by one answer.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::day::{Day, DayOf};
use super::quirks::{FigureSource, Quirks};
use super::settings::Settings;
use super::sites::Site;
use super::truth::DayInBuckets;
use crate::domain::bucket::VendorBucket;
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

/// Late data: from now on, the figures of some sites on some dates are larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Affected site; `None`: all.
    pub site: Option<SiteId>,
    /// Affected dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl Revision {
    fn concerns(&self, site: SiteId, date: Date) -> bool {
        self.site.is_none_or(|only| only == site)
            && self.dates.is_none_or(|dates| dates.contains(date))
    }
}

/// The world at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub settings: Arc<Settings>,
    pub quirks: Quirks,
    pub revisions: Vec<Revision>,
    pub now: Timestamp,
}

impl View {
    /// The site with the given id.
    pub(super) fn site(&self, id: SiteId) -> Site {
        let listed = self.settings.sites.iter().find(|site| site.id == id);
        let mut site = listed
            .cloned()
            .unwrap_or_else(|| Site::unlisted(id, self.settings.timezone.clone()));
        if let Some(name) = self.quirks.names.get(&id.get()) {
            site.name.clone_from(name);
        }
        site
    }

    /// The vendor's figures for one day at one site.
    pub(super) fn day(
        &self,
        customer: CustomerId,
        site: &Site,
        date: Date,
        bucket: VendorBucket,
        window: &Range<u16>,
    ) -> DayInBuckets {
        if self.quirks.figures == FigureSource::Example {
            return DayInBuckets::example(site.id, date, bucket, window);
        }
        let revisions = self.revisions.iter();
        let concerned = revisions.filter(|revision| revision.concerns(site.id, date));
        let day = Day::of(DayOf {
            customer,
            site,
            date,
            revision: u32::try_from(concerned.count()).unwrap_or(u32::MAX),
            now: self.now,
            outages: self.quirks.outages,
        });
        DayInBuckets::of(&day, bucket, window, &self.quirks)
    }
}
