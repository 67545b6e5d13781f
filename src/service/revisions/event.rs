//! One event of the feed, and its bytes on the disk.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::domain::bucket::VendorBucket;
use crate::domain::metric::VendorMetric;
use crate::domain::revision::RevisionKind;
use crate::domain::site::{CustomerId, SiteId};
use crate::tier::take;

/// A day's figures that the vendor changed after the day was over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Revision {
    /// Its subject.
    pub subject: Subject,
    /// Time at which Pitaya requested the new figures.
    pub seen_at: Timestamp,
    /// Kind of the change.
    pub kind: RevisionKind,
    /// The day's figure before; `None` if there was none.
    pub old: Option<f64>,
    /// The day's figure after; `None` if there is none.
    pub new: Option<f64>,
    /// Number of buckets that differ.
    pub buckets: u16,
    /// Time since the end of the day.
    pub age: SignedDuration,
    /// Length of the buckets that were compared.
    pub(super) bucket: VendorBucket,
    /// Distinguishes the new figures from others.
    pub(super) state: u64,
    /// The process that saw it.
    pub(super) process: u32,
}

/// The subject of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Owner of the site.
    pub customer: CustomerId,
    /// Site.
    pub site: SiteId,
    /// Metric.
    pub metric: VendorMetric,
    /// Local day.
    pub date: Date,
}

impl Revision {
    /// Appends its bytes: always the same number.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let Subject {
            customer,
            site,
            metric,
            date,
        } = self.subject;
        bytes.extend(self.seen_at.as_microsecond().to_le_bytes());
        bytes.extend(customer.get().to_le_bytes());
        bytes.extend(site.get().to_le_bytes());
        bytes.extend(date.year().to_le_bytes());
        bytes.extend([date.month().unsigned_abs(), date.day().unsigned_abs()]);
        bytes.extend([metric as u8, self.kind as u8]);
        bytes.extend(self.bucket.minutes().to_le_bytes());
        for figure in [self.old, self.new] {
            bytes.extend(figure.unwrap_or(f64::NAN).to_le_bytes());
        }
        bytes.extend(self.buckets.to_le_bytes());
        bytes.extend(self.age.as_secs().to_le_bytes());
        bytes.extend(self.state.to_le_bytes());
        bytes.extend(self.process.to_le_bytes());
    }

    /// Reads an event from the front of `bytes`; `None` if they are not an event.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let micros = |bytes| Timestamp::from_microsecond(i64::from_le_bytes(bytes)).ok();
        let seen_at = micros(take(bytes)?)?;
        let customer = CustomerId::new(u64::from_le_bytes(take(bytes)?))?;
        let site = SiteId::new(u64::from_le_bytes(take(bytes)?))?;
        let year = i16::from_le_bytes(take(bytes)?);
        let [month, day, metric, kind] = take(bytes)?;
        let date = Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
        let mut metrics = VendorMetric::ALL.into_iter();
        let mut kinds = RevisionKind::ALL.into_iter();
        Some(Self {
            subject: Subject {
                customer,
                site,
                metric: metrics.find(|known| *known as u8 == metric)?,
                date,
            },
            seen_at,
            kind: kinds.find(|known| *known as u8 == kind)?,
            bucket: VendorBucket::from_minutes(u16::from_le_bytes(take(bytes)?))?,
            old: figure_of(take(bytes)?),
            new: figure_of(take(bytes)?),
            buckets: u16::from_le_bytes(take(bytes)?),
            age: SignedDuration::from_secs(i64::from_le_bytes(take(bytes)?)),
            state: u64::from_le_bytes(take(bytes)?),
            process: u32::from_le_bytes(take(bytes)?),
        })
    }
}

fn figure_of(bytes: [u8; 8]) -> Option<f64> {
    Some(f64::from_le_bytes(bytes)).filter(|figure| !figure.is_nan())
}
