//! Switches for every point that the vendor's documentation leaves open.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Points that the vendor's documentation leaves open; every choice is a legal answer. Switchable while the simulator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and all combine"
)]
pub struct Quirks {
    /// Source of the figures.
    pub figures: FigureSource,
    /// Shape of `site_mapping`.
    pub mapping: Mapping,
    /// Representation of a bucket without events.
    pub empty: EmptyBuckets,
    /// Representation of a bucket that has not begun.
    pub future: FutureBuckets,
    /// Representation of the hour that DST repeats.
    pub repeated_hour: RepeatedHour,
    /// Order of the rows.
    pub order: RowOrder,
    /// Whether whole numbers are written as floats: `19.0`.
    pub floats: bool,
    /// Whether a row omits a metric without a figure, rather than writing `null`.
    pub omit_nulls: bool,
    /// Whether sensors fail for some hours at some sites, leaving buckets missing.
    pub outages: bool,
    /// Rows per site and bucket, one for each region, which add up: 1 to 8.
    pub regions: u8,
    /// Whether each region is its own entity.
    pub region_entities: bool,
    /// Whether each metric has rows of its own.
    pub metric_rows: bool,
    /// Whether every row appears twice.
    pub repeated_rows: bool,
    /// Field outside the figures that differs in spelling: in the second of two equal rows, or else in about half of all rows.
    pub respelt: Respelt,
    /// Whether the first two sites of a report have each other's figures: a fault of the vendor's that nothing in the answer shows.
    pub swapped_sites: bool,
    /// Whether an hour has one entrance more than its quarters together: a fault, too.
    pub uneven_hours: bool,
    /// Whether rows and envelope have undocumented fields.
    pub extra_fields: bool,
    /// Whether the answer includes rows, with absurd figures, for the days around the requested ones.
    pub outside_rows: bool,
    /// Whether non-ASCII text is written with `\u` escapes.
    pub escapes: bool,
    /// Names by site id that replace the sites' own: one name for several sites, or names with quotes.
    pub names: BTreeMap<u64, String>,
    /// Value of `computed_at`.
    pub computed_at: ComputedAt,
    /// Whether the simulator compresses answers for clients that accept gzip.
    pub gzip: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            figures: FigureSource::Model,
            mapping: Mapping::Names,
            empty: EmptyBuckets::Absent,
            future: FutureBuckets::Absent,
            repeated_hour: RepeatedHour::TwoRows,
            order: RowOrder::Sorted,
            floats: false,
            omit_nulls: false,
            outages: true,
            regions: 1,
            region_entities: false,
            metric_rows: false,
            repeated_rows: false,
            respelt: Respelt::Nothing,
            swapped_sites: false,
            uneven_hours: false,
            extra_fields: false,
            outside_rows: false,
            escapes: false,
            names: BTreeMap::new(),
            computed_at: ComputedAt::Now,
            gzip: true,
        }
    }
}

/// Source of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureSource {
    /// A fixed model of retail traffic.
    Model,
    /// The six rows of the vendor's documentation: entrances of site 750 on 2026-02-18 and 19.
    Example,
}

/// Shape of `site_mapping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// `{"750": "Tyler"}`
    Names,
    /// `{"750": {"name": "Tyler"}}`
    NamedObjects,
    /// `{"36655": 750}`
    Entities,
    /// `{"750": "36655"}`
    EntityTexts,
    /// `{"750": "Tyler", "751": "Chicago", "750": "Chicago", "751": "Tyler"}`
    ContraryNames,
    /// `{"36655": 750, "36663": 751, "36655": 751, "36663": 750}`
    ContraryEntities,
    /// `{}`
    Empty,
}

/// Field whose spelling differs in some rows without changing their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Respelt {
    /// None.
    Nothing,
    /// `region_names`, which then has two names in every row, is in another order.
    RegionOrder,
    /// `region_names` is `null`.
    Regions,
    /// `filter_id` is `null`.
    Filter,
    /// `site_name` is `null`.
    Name,
    /// The fields of the row are in another order.
    FieldOrder,
}

/// Representation of a bucket without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyBuckets {
    /// No row.
    Absent,
    /// A row of zeros.
    Zero,
    /// A row of nulls.
    Null,
}

/// Representation of a bucket that has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FutureBuckets {
    /// No row.
    Absent,
    /// A row of zeros.
    Zero,
}

/// Representation of the hour that DST repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepeatedHour {
    /// Two rows with the same `time`, in chronological order.
    TwoRows,
    /// One row with the sum of both.
    Summed,
}

/// Order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOrder {
    /// By site, then by time.
    Sorted,
    /// Shuffled, but identical each time.
    Shuffled,
}

/// Value of `computed_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputedAt {
    /// Time at which the answer was generated.
    Now,
    /// That long before.
    Ago(Duration),
    /// The field is missing.
    Absent,
}
