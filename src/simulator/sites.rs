//! The sites of the simulated chain: names, zones, opening hours, and the ids in the vendor's rows.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::hash::{hash, unit};
use crate::domain::site::SiteId;

/// Opening hours of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// 09:00 to 21:00, on Sundays 11:00 to 18:00.
    Shop,
    /// Like a shop, but closed on Sundays.
    ClosedSundays,
    /// Day and night, which gives figures to the hours that DST repeats.
    RoundTheClock,
}

impl Opening {
    /// Opening and closing minute on a day (the latter exclusive); `None` on a day off.
    pub(super) fn hours(self, date: Date) -> Option<(u16, u16)> {
        let sunday = date.weekday() == jiff::civil::Weekday::Sunday;
        let holiday = matches!((date.month(), date.day()), (1, 1) | (12, 25));
        match self {
            Self::RoundTheClock => Some((0, 24 * 60)),
            _ if holiday => None,
            Self::ClosedSundays if sunday => None,
            Self::Shop if sunday => Some((11 * 60, 18 * 60)),
            Self::Shop | Self::ClosedSundays => Some((9 * 60, 21 * 60)),
        }
    }
}

/// One site of the demo chain.
#[derive(Clone, Copy, Debug)]
pub struct DemoSite {
    /// Id.
    pub id: u64,
    /// Name in the vendor's rows.
    pub name: &'static str,
    /// IANA name of the zone.
    pub timezone: &'static str,
    /// Opening hours.
    pub opening: Opening,
}

macro_rules! demo_sites {
    ($($id:literal $name:literal $zone:literal $opening:ident;)*) => {
        &[$(DemoSite { id: $id, name: $name, timezone: $zone, opening: Opening::$opening }),*]
    };
}

/// The demo's customer; the simulator accepts any unless configured otherwise.
pub const DEMO_CUSTOMER: u64 = 123;

/// Sites with a name and zone of their own; any other id works as well.
pub const DEMO_SITES: &[DemoSite] = demo_sites! {
    750 "Tyler" "America/Chicago" Shop;
    751 "Austin Domain" "America/Chicago" Shop;
    752 "Denver Union Station" "America/Denver" RoundTheClock;
    753 "Seattle Pike Street" "America/Los_Angeles" Shop;
    754 "Brooklyn Heights" "America/New_York" Shop;
    755 "Phoenix Biltmore" "America/Phoenix" Shop;
    756 "London Carnaby" "Europe/London" Shop;
    757 "Berlin Alexanderplatz" "Europe/Berlin" ClosedSundays;
    758 "Zürich Bahnhofstrasse" "Europe/Zurich" ClosedSundays;
    759 "Madrid Gran Vía" "Europe/Madrid" Shop;
    760 "Mumbai Colaba" "Asia/Kolkata" Shop;
    761 "Sydney Central" "Australia/Sydney" RoundTheClock;
};

/// One simulated site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Id.
    pub id: SiteId,
    /// Name in the vendor's rows.
    pub name: String,
    /// Zone.
    pub timezone: TimeZone,
    /// Opening hours.
    pub opening: Opening,
}

impl Site {
    /// The sites of [`DEMO_SITES`].
    #[must_use]
    pub fn demo() -> Vec<Self> {
        let site = |demo: &DemoSite| {
            Some(Self {
                id: SiteId::new(demo.id)?,
                name: demo.name.to_owned(),
                timezone: TimeZone::get(demo.timezone).ok()?,
                opening: demo.opening,
            })
        };
        DEMO_SITES.iter().filter_map(site).collect()
    }

    /// A site outside every list, named after its id; one in four is open day and night.
    pub(super) fn unlisted(id: SiteId, timezone: TimeZone) -> Self {
        let opening = match id.get() % 4 {
            0 => Opening::RoundTheClock,
            1 => Opening::ClosedSundays,
            _ => Opening::Shop,
        };
        Self {
            id,
            name: format!("Store {id}"),
            timezone,
            opening,
        }
    }

    /// Entrances in five busy minutes.
    pub(super) fn scale(&self) -> f64 {
        2.0 + 7.0 * unit(hash(&[self.id.get(), 1]))
    }

    /// Passers-by per person entering.
    pub(super) fn walk_by_ratio(&self) -> f64 {
        2.0 + 3.0 * unit(hash(&[self.id.get(), 2]))
    }

    /// Sales per person entering: 0.20 to 0.35.
    pub(super) fn conversion(&self) -> f64 {
        0.20 + 0.15 * unit(hash(&[self.id.get(), 3]))
    }

    /// Usual minutes between entering and leaving.
    pub(super) fn stay(&self) -> f64 {
        12.0 + 24.0 * unit(hash(&[self.id.get(), 4]))
    }
}

/// The `entity_id` of a region of a site: unique, and never the id of the site itself.
pub(super) fn entity_id(site: SiteId, part: u8) -> u64 {
    // The vendor's own example has entity 36655 for site 750. A stride of 8 leaves room for eight regions.
    site.get().wrapping_mul(8).wrapping_add(30_655) + u64::from(part)
}

/// The `filter_id` of a region of a site.
pub(super) fn filter_id(site: SiteId, part: u8) -> String {
    if site.get() == 750 && part == 0 {
        // The vendor's own example.
        return "450e633b0b76a889eb487f6dfcd575cc".to_owned();
    }
    let half = |salt| hash(&[site.get(), u64::from(part), salt]);
    format!("{:016x}{:016x}", half(5), half(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demo_site_has_a_zone_that_exists() {
        assert_eq!(Site::demo().len(), DEMO_SITES.len());
    }

    #[test]
    fn the_example_site_has_the_example_ids() {
        let tyler = SiteId::new(750).unwrap();

        assert_eq!(entity_id(tyler, 0), 36655);
        assert_eq!(filter_id(tyler, 0), "450e633b0b76a889eb487f6dfcd575cc");
    }
}
