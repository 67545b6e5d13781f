//! The sites of the simulated chain: names, zones, opening, and the ids that the vendor's rows carry.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::hash::{hash, unit};
use crate::domain::site::SiteId;

/// When a site is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// 09:00 to 21:00, on Sundays 11:00 to 18:00.
    Shop,
    /// As a shop, but closed on Sundays.
    ClosedSundays,
    /// Day and night, so that the hours that DST repeats have figures.
    RoundTheClock,
}

impl Opening {
    /// The first minute and the minute after the last on a day; `None` on a day off.
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
    /// Its id.
    pub id: u64,
    /// Its name in the vendor's rows.
    pub name: &'static str,
    /// The IANA name of its zone.
    pub timezone: &'static str,
    /// When it is open.
    pub opening: Opening,
}

macro_rules! demo_sites {
    ($($id:literal $name:literal $zone:literal $opening:ident;)*) => {
        &[$(DemoSite { id: $id, name: $name, timezone: $zone, opening: Opening::$opening }),*]
    };
}

/// The customer that the demo asks for; the simulator takes any unless told otherwise.
pub const DEMO_CUSTOMER: u64 = 123;

/// The sites that have names and zones of their own; any other id works as well.
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
    /// Its id.
    pub id: SiteId,
    /// Its name in the vendor's rows.
    pub name: String,
    /// Its zone.
    pub timezone: TimeZone,
    /// When it is open.
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

    /// A site that is in no list: named after its id; one in four is open day and night.
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

    /// Passers-by for each who enters.
    pub(super) fn walk_by_ratio(&self) -> f64 {
        2.0 + 3.0 * unit(hash(&[self.id.get(), 2]))
    }

    /// Sales for each who enters: 0.20 to 0.35.
    pub(super) fn conversion(&self) -> f64 {
        0.20 + 0.15 * unit(hash(&[self.id.get(), 3]))
    }

    /// The usual minutes between entering and leaving.
    pub(super) fn stay(&self) -> f64 {
        12.0 + 24.0 * unit(hash(&[self.id.get(), 4]))
    }
}

/// The `entity_id` of a part of a site: unique, and never the id of the site itself.
pub(super) fn entity_id(site: SiteId, part: u8) -> u64 {
    // 750 is the vendor's own example: its entity is 36655. A stride of 8 leaves room for eight parts.
    site.get().wrapping_mul(8).wrapping_add(30_655) + u64::from(part)
}

/// The `filter_id` of a part of a site.
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
