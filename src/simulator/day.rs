//! One local day at one site, in steps of five minutes: the raw events from which every figure is computed.

use std::ops::AddAssign;
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use jiff::{SignedDuration, Timestamp};

use super::hash::{hash, unit, units};
use super::sites::Site;
use crate::domain::bucket::DAY_MINUTES;
use crate::domain::local_day::{DayShape, DaySpan};
use crate::domain::site::CustomerId;

/// Length of a step.
pub(super) const STEP_MINUTES: u16 = 5;
const NOON: u16 = 12 * 60;
const STEP: SignedDuration = SignedDuration::from_mins(STEP_MINUTES as i64);

/// State of the sensors' report on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The sensors have reported.
    Yes,
    /// The sensors were down.
    Outage,
    /// The step has not ended yet.
    Future,
}

/// Five minutes of a day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Start of the step, in minutes after midnight on the clock.
    pub minute: u16,
    /// Whether this is the second step of that clock time, in the hour that DST repeats.
    pub second: bool,
    pub seen: Seen,
    pub events: Events,
}

/// Events of one step, or the sums of several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Events {
    pub entrances: u32,
    pub walk_bys: u32,
    pub transactions: u32,
    pub exits: u32,
    /// Total minutes that the departing visitors had stayed.
    pub stayed: f64,
    /// People inside at the end of the step.
    pub inside: u32,
}

impl AddAssign for Events {
    fn add_assign(&mut self, other: Self) {
        self.entrances += other.entrances;
        self.walk_bys += other.walk_bys;
        self.transactions += other.transactions;
        self.exits += other.exits;
        self.stayed += other.stayed;
        self.inside += other.inside;
    }
}

/// The steps of a day, in the order in which they happen.
#[derive(Clone, Debug)]
pub(super) struct Day {
    pub shape: DayShape,
    pub steps: Vec<Step>,
}

/// Identity of the day, and state of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct DayOf<'a> {
    pub customer: CustomerId,
    pub site: &'a Site,
    pub date: Date,
    /// Number of revisions of its figures.
    pub revision: u32,
    pub now: Timestamp,
    /// Whether sensors ever fail.
    pub outages: bool,
}

impl Day {
    /// Generates the events of a day.
    pub(super) fn of(day: DayOf<'_>) -> Self {
        let zone = Some(&day.site.timezone);
        let shape = DayShape::of(day.date, zone);
        let mut ends = DaySpan::of(day.date, zone).begins;
        let crowd = Crowd::of(day);
        let outage = day.outages.then(|| crowd.outage()).flatten();
        let is_silent = day.outages && day.site.silent_on == Some(day.date.weekday());
        let mut steps = Vec::with_capacity(usize::from(DAY_MINUTES / STEP_MINUTES));
        for (minute, second) in minutes(&shape) {
            ends = ends.saturating_add(STEP).unwrap_or(Timestamp::MAX);
            let seen = if ends > day.now {
                Seen::Future
            } else if outage.is_some_and(|(from, to)| (from..to).contains(&minute))
                || (is_silent && minute >= NOON)
            {
                Seen::Outage
            } else {
                Seen::Yes
            };
            steps.push(Step {
                minute,
                second,
                seen,
                events: crowd.events(minute, second),
            });
        }
        crowd.let_out(&mut steps);
        Self { shape, steps }
    }
}

/// The steps that exist on the clock, in order of time: none in a gap, those of a fold twice.
fn minutes(shape: &DayShape) -> impl Iterator<Item = (u16, bool)> {
    let gap = shape.gap.clone().unwrap_or(0..0);
    let fold = shape.fold.clone().unwrap_or(0..0);
    let on_clock = |from: u16, to: u16| (from..to).step_by(usize::from(STEP_MINUTES));
    on_clock(0, fold.end)
        .map(|minute| (minute, false))
        .chain(on_clock(fold.start, fold.end).map(|minute| (minute, true)))
        .chain(on_clock(fold.end, DAY_MINUTES).map(|minute| (minute, false)))
        .filter(move |(minute, _)| !gap.contains(minute))
}

/// Busyness of each five-minute step of a day on the clock: a lunch peak, and a higher one after work.
static PROFILE: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let peak = |minute: f64, at: f64, width: f64| (-((minute - at) / width).powi(2)).exp();
    (0..DAY_MINUTES / STEP_MINUTES)
        .map(|step| f64::from(step * STEP_MINUTES))
        .map(|minute| 0.25 + 0.55 * peak(minute, 750.0, 80.0) + 0.75 * peak(minute, 1055.0, 95.0))
        .collect()
});

/// The visitors of one day.
struct Crowd {
    seed: u64,
    /// Entrances in five minutes where the profile is 1.
    rate: f64,
    walk_by_ratio: f64,
    conversion: f64,
    stay: f64,
    /// Steps that a visitor stays.
    lag: usize,
    opens: u16,
    closes: u16,
    revision: u32,
}

impl Crowd {
    fn of(day: DayOf<'_>) -> Self {
        let site = day.site;
        let ordinal = u64::from(day.date.year().unsigned_abs()) * 400
            + u64::from(day.date.day_of_year().unsigned_abs());
        let seed = hash(&[day.customer.get(), site.id.get(), ordinal]);
        let season = 1.0
            + match day.date.month() {
                11 | 12 => 0.35,
                1 | 2 => -0.15,
                7 | 8 => -0.08,
                _ => 0.0,
            };
        let weekday = match day.date.weekday() {
            Weekday::Saturday => 1.45,
            Weekday::Friday => 1.2,
            Weekday::Sunday => 0.9,
            Weekday::Monday => 0.8,
            _ => 1.0,
        };
        let weather = 0.8 + 0.4 * unit(seed);
        let (opens, closes) = site.hours(day.date).unwrap_or((0, 0));
        let stay = site.stay();
        Self {
            seed,
            rate: site.scale() * season * weekday * weather,
            walk_by_ratio: site.walk_by_ratio(),
            conversion: site.conversion(),
            stay,
            lag: usize::from(whole_u16(stay / f64::from(STEP_MINUTES))),
            opens,
            closes,
            revision: day.revision,
        }
    }

    /// The minutes during which the sensors are down, on one day of a dozen.
    fn outage(&self) -> Option<(u16, u16)> {
        let [whether, start, length, _] = units(hash(&[self.seed, 1]));
        let from = whole_u16(start * 240.0) * STEP_MINUTES;
        let to = from + (4 + whole_u16(length * 40.0)) * STEP_MINUTES;
        (whether < 1.0 / 12.0).then_some((from, to))
    }

    /// The events of one step, without the effects of earlier steps.
    fn events(&self, minute: u16, second: bool) -> Events {
        let mut events = Events::default();
        // Passers-by appear from an hour before the shop opens to an hour after it closes.
        let street = self.opens.saturating_sub(60)..(self.closes + 60).min(DAY_MINUTES);
        if self.opens == self.closes || !street.contains(&minute) {
            return events;
        }
        let number = u64::from(minute) * 2 + u64::from(second);
        let [a, b, c, d] = units(hash(&[self.seed, 2, number]));
        let night = !(7 * 60..23 * 60).contains(&minute);
        let busy = PROFILE
            .get(usize::from(minute / STEP_MINUTES))
            .map_or(0.0, |profile| if night { profile / 3.0 } else { *profile })
            * self.rate;
        events.walk_bys = count(busy * self.walk_by_ratio * (0.6 + 0.8 * b), c);
        if (self.opens..self.closes).contains(&minute) {
            // Late data adds figures, so a revision shows in every step.
            events.entrances = count(busy * (0.5 + a), b) + self.revision;
            let sales = count(f64::from(events.entrances) * self.conversion, d);
            events.transactions = sales.min(events.entrances);
        }
        events
    }

    /// Lets visitors leave, some time after they came.
    fn let_out(&self, steps: &mut [Step]) {
        let mut inside = 0;
        for now in 0..steps.len() {
            let exits = now
                .checked_sub(self.lag)
                .map_or(0, |then| steps[then].events.entrances);
            let number = u64::from(steps[now].minute) * 2 + u64::from(steps[now].second);
            let stay = self.stay * (0.6 + 0.8 * unit(hash(&[self.seed, 3, number])));
            let events = &mut steps[now].events;
            inside = inside + events.entrances - exits;
            events.exits = exits;
            events.stayed = stay * f64::from(exits);
            events.inside = inside;
        }
    }
}

/// Rounds `mean` up or down at random, so that small means give zeros and ones.
fn count(mean: f64, chance: f64) -> u32 {
    u32::from(whole_u16(mean + chance))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and the model's numbers are small and not negative"
)]
fn whole_u16(number: f64) -> u16 {
    number as u16
}
