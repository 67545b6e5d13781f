//! The demo's chain: its sites as the simulated vendor knows them, and as their operator has configured them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::sites::{Opening, Site};
use crate::domain::directory::SiteEntry;
use crate::domain::opening::{Exceptions, OpeningHours};
use crate::domain::site::SiteId;

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
    /// The store number that people use.
    pub code: &'static str,
    /// Tags.
    pub tags: &'static [&'static str],
}

macro_rules! demo_sites {
    ($($id:literal $name:literal $zone:literal $opening:ident $code:literal [$($tag:literal)*];)*) => {
        &[$(DemoSite { id: $id, name: $name, timezone: $zone, opening: Opening::$opening, code: $code, tags: &[$($tag),*] }),*]
    };
}

/// The demo's customer; the simulator accepts any unless configured otherwise.
pub const DEMO_CUSTOMER: u64 = 123;

/// Sites with a name and zone of their own. The simulator has figures for any other id as well; the demo refuses those.
pub const DEMO_SITES: &[DemoSite] = demo_sites! {
    750 "Tyler" "America/Chicago" Shop "T-0412" ["region=South" "format=mall"];
    751 "Austin Domain" "America/Chicago" Shop "T-0415" ["region=South" "format=street"];
    752 "Denver Union Station" "America/Denver" RoundTheClock "T-0420" ["region=West" "format=station"];
    753 "Seattle Pike Street" "America/Los_Angeles" Shop "T-0433" ["region=West" "format=street"];
    754 "Brooklyn Heights" "America/New_York" Shop "T-0441" ["region=North" "format=street"];
    755 "Phoenix Biltmore" "America/Phoenix" Shop "T-0447" ["region=West" "format=mall"];
    756 "London Carnaby" "Europe/London" Shop "T-0502" ["region=Europe" "format=street"];
    757 "Berlin Alexanderplatz" "Europe/Berlin" ClosedSundays "T-0511" ["region=Europe" "format=mall" "outlet"];
    758 "Zürich Bahnhofstrasse" "Europe/Zurich" ClosedSundays "T-0512" ["region=Europe" "format=street"];
    759 "Madrid Gran Vía" "Europe/Madrid" Shop "T-0520" ["region=Europe" "format=street"];
    760 "Mumbai Colaba" "Asia/Kolkata" Shop "T-0601" ["region=APAC" "format=mall" "outlet"];
    761 "Sydney Central" "Australia/Sydney" RoundTheClock "T-0610" ["region=APAC" "format=station"];
    762 "Chicago Loop" "America/Chicago" Shop "T-0448" ["region=North" "format=street"];
};

/// The site that opened a few months ago.
const NEWEST: u64 = 762;
/// The site whose sensors fail each week.
const UNRELIABLE: u64 = 755;

/// The demo's sites as the vendor knows them: always open, and with working sensors.
pub(super) fn sites() -> Vec<Site> {
    DEMO_SITES.iter().map(DemoSite::site).collect()
}

impl DemoSite {
    fn id(&self) -> SiteId {
        SiteId::new(self.id).expect("the ids are small")
    }

    fn zone(&self) -> TimeZone {
        TimeZone::get(self.timezone).expect("the zones are in the database")
    }

    fn site(&self) -> Site {
        Site {
            id: self.id(),
            name: self.name.to_owned(),
            timezone: self.zone(),
            opening: self.opening,
            opened: None,
            silent_on: None,
        }
    }

    fn entry(&self, hours: &Arc<OpeningHours>) -> SiteEntry {
        let tags = self.tags.iter();
        SiteEntry {
            name: Some(self.name.to_owned()),
            timezone: Some(self.zone()),
            hours: Some(Arc::clone(hours)),
            code: Some(self.code.into()),
            tags: tags
                .map(|tag| tag.parse().expect("the tags are well-formed"))
                .collect(),
            ..SiteEntry::default()
        }
    }
}

/// The demo's chain on one day. One site opened a few months before, and the sensors of another are silent from noon each Wednesday.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The sites as the vendor knows them.
    pub sites: Vec<Site>,
    /// The same sites as their operator has configured them.
    pub directory: BTreeMap<SiteId, SiteEntry>,
}

impl Chain {
    /// The chain on `today`.
    #[must_use]
    pub fn on(today: Date) -> Self {
        let opened = today.first_of_month().saturating_sub(3.months());
        let hours = Opening::ALL.map(|opening| Arc::new(known_hours(opening)));
        let mut sites = sites();
        let mut directory: BTreeMap<SiteId, SiteEntry> = DEMO_SITES
            .iter()
            .map(|site| (site.id(), site.entry(&hours[site.opening as usize])))
            .collect();
        for site in &mut sites {
            match site.id.get() {
                NEWEST => {
                    site.opened = Some(opened);
                    directory.entry(site.id).or_default().opened = Some(opened);
                }
                UNRELIABLE => site.silent_on = Some(Weekday::Wednesday),
                _ => {}
            }
        }
        Self { sites, directory }
    }
}

/// The opening hours as an operator writes them.
fn known_hours(opening: Opening) -> OpeningHours {
    let text = match opening {
        Opening::Shop => "Mo-Sa 09:00-21:00; Su 11:00-18:00; Jan 01,Dec 25 off",
        Opening::ClosedSundays => "Mo-Sa 09:00-21:00; Jan 01,Dec 25 off",
        Opening::RoundTheClock => "24/7",
    };
    let expression = text.parse().expect("the hours are in the grammar");
    OpeningHours::new(expression, None, Exceptions::new())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::dates::DateRange;
    use crate::domain::lifetime::Lifetime;
    use crate::domain::opening::Windows;

    #[test]
    fn the_configured_hours_are_those_of_the_figures() {
        let chain = Chain::on(date(2026, 11, 27));
        let dates = DateRange::new(date(2026, 1, 1), date(2027, 1, 1)).unwrap();

        for site in chain.sites {
            let hours = chain.directory[&site.id].hours.as_ref().unwrap();
            let windows = Windows::new(Some(hours), Lifetime::UNKNOWN, dates.iter());
            for (index, date) in dates.iter().enumerate() {
                let known = windows.of(index).iter();
                let known: Vec<_> = known.map(|hours| (hours.start, hours.end)).collect();
                let hours: Vec<_> = site.opening.hours(date).into_iter().collect();
                assert_eq!(known, hours, "{} on {date}", site.name);
            }
        }
    }

    #[test]
    fn one_site_has_opened_within_the_year_on_any_day() {
        for today in [date(2026, 11, 27), date(2027, 1, 1), date(2028, 2, 29)] {
            let chain = Chain::on(today);
            let mut entries = chain.directory.values();
            let opened = entries.find_map(|entry| entry.opened).unwrap();
            let simulated = chain.sites.iter().find_map(|site| site.opened);

            assert_eq!(simulated, Some(opened));
            assert!(opened < today && opened > today.saturating_sub(4.months().days(1)));
        }
        assert_eq!(DEMO_SITES.len(), 13);
    }
}
