//! The sites of the simulated chain: names, zones, opening hours, and the ids in the vendor's rows.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::hash::{hash, unit};
use crate::domain::site::SiteId;

/// Opening hours of a site. Shops are closed on the first of January and at Christmas.
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
    /// All of them, in order.
    pub(super) const ALL: [Self; 3] = [Self::Shop, Self::ClosedSundays, Self::RoundTheClock];

    /// Opening and closing minute on a day (the latter exclusive); `None` on a day off.
    pub(super) fn hours(self, date: Date) -> Option<(u16, u16)> {
        let sunday = date.weekday() == Weekday::Sunday;
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
    /// The first day on which it is open, if it was not always.
    pub opened: Option<Date>,
    /// The day of the week on which its sensors are silent from noon, if any.
    pub silent_on: Option<Weekday>,
}

impl Site {
    /// Opening and closing minute on a day (the latter exclusive); `None` on a day on which it is closed.
    pub(super) fn hours(&self, date: Date) -> Option<(u16, u16)> {
        let is_open = self.opened.is_none_or(|opened| opened <= date);
        is_open.then(|| self.opening.hours(date)).flatten()
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
            opened: None,
            silent_on: None,
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
    fn the_example_site_has_the_example_ids() {
        let tyler = SiteId::new(750).unwrap();

        assert_eq!(entity_id(tyler, 0), 36655);
        assert_eq!(filter_id(tyler, 0), "450e633b0b76a889eb487f6dfcd575cc");
    }
}
