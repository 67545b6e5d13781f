//! What the vendor's documentation leaves open, each as a switch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the vendor's documentation leaves open; every choice is a legal answer. Switchable while the simulator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and all combine"
)]
pub struct Quirks {
    /// Where the figures come from.
    pub figures: FigureSource,
    /// The shape of `site_mapping`.
    pub mapping: Mapping,
    /// What stands for a bucket in which nothing happened.
    pub empty: EmptyBuckets,
    /// What stands for a bucket that has not begun.
    pub future: FutureBuckets,
    /// How the hour that DST repeats is told.
    pub repeated_hour: RepeatedHour,
    /// The order of the rows.
    pub order: RowOrder,
    /// Whether whole numbers are written as floats: `19.0`.
    pub floats: bool,
    /// Whether a metric without a figure is left out of its row, rather than `null`.
    pub omit_nulls: bool,
    /// Whether sensors fail for some hours at some sites, so that buckets are missing.
    pub outages: bool,
    /// Rows for one site and bucket, one for each region, that add up: 1 to 8.
    pub regions: u8,
    /// Whether each region is an entity of its own.
    pub region_entities: bool,
    /// Whether each metric comes in rows of its own.
    pub metric_rows: bool,
    /// Whether every row comes twice.
    pub repeated_rows: bool,
    /// What is spelt differently, beside the figures, in the second of two like rows, or else in about half of all rows.
    pub respelt: Respelt,
    /// Whether rows and envelope have fields that no document tells of.
    pub extra_fields: bool,
    /// Whether there are rows, with absurd figures, of the days around the ones asked for.
    pub outside_rows: bool,
    /// Whether text that is not ASCII is written with `\u` escapes.
    pub escapes: bool,
    /// Names by site id instead of the sites' own: the same for several sites, or with quotes in them.
    pub names: BTreeMap<u64, String>,
    /// What `computed_at` says.
    pub computed_at: ComputedAt,
    /// Whether answers are compressed for clients that accept gzip.
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
            extra_fields: false,
            outside_rows: false,
            escapes: false,
            names: BTreeMap::new(),
            computed_at: ComputedAt::Now,
            gzip: true,
        }
    }
}

/// Where the figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureSource {
    /// A model of retail traffic, the same for ever.
    Model,
    /// The six rows of the vendor's documentation: entrances of site 750 on 2026-02-18 and 19.
    Example,
}

/// The shape of `site_mapping`.
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

/// What is spelt differently in some rows, though it means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Respelt {
    /// Nothing is.
    Nothing,
    /// `region_names`, of which every row has two then, are in another order.
    RegionOrder,
    /// `region_names` are `null`.
    Regions,
    /// `filter_id` is `null`.
    Filter,
    /// `site_name` is `null`.
    Name,
    /// The fields of the row are in another order.
    FieldOrder,
}

/// What stands for a bucket in which nothing happened.
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

/// What stands for a bucket that has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FutureBuckets {
    /// No row.
    Absent,
    /// A row of zeros.
    Zero,
}

/// How the hour that DST repeats is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepeatedHour {
    /// Two rows with the same `time`, in the order in which they happened.
    TwoRows,
    /// One row with both.
    Summed,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOrder {
    /// By site, then as time went.
    Sorted,
    /// None that one could rely on, but the same each time.
    Shuffled,
}

/// What `computed_at` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputedAt {
    /// When the answer was made.
    Now,
    /// That long before.
    Ago(Duration),
    /// Nothing: the field is missing.
    Absent,
}
