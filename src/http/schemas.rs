//! Schemas of domain types for the API's document: words and ids, with the lists and bounds from the domain.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::domain::bucket::Bucket;
use crate::domain::calendar::WeekStart;
use crate::domain::comparison::NotOpen;
use crate::domain::coverage::{Basis, RowState};
use crate::domain::metric::{Combine, Metric};
use crate::domain::query::{Fill, GroupBy, Partial, TimeFormat};
use crate::domain::revision::RevisionKind;
use crate::domain::site::{CustomerId, MAX_ID, SiteId};

/// One of a few words.
pub(super) fn one_of(
    description: &str,
    words: impl IntoIterator<Item = &'static str>,
) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

fn id(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some(description))
        .minimum(Some(1))
        // At most 2^53 − 1, which fits a 64-bit `usize`.
        .maximum(Some(usize::try_from(MAX_ID).unwrap_or(usize::MAX)))
        .into()
}

/// The bytes of a workbook, in the document alone.
pub(super) enum Workbook {}

/// Gives a type the schema of an expression, under a name in the document.
macro_rules! schemas {
    ($($type:ty, $name:literal: $schema:expr;)*) => {$(
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

pub(super) use schemas;

schemas! {
    SiteId, "SiteId": id("A site's id.");
    CustomerId, "CustomerId": id("A customer's id.");
    Metric, "Metric": one_of("A metric.", Metric::ALL.map(Metric::name));
    Combine, "Combine": one_of("How figures combine.", Combine::ALL.map(Combine::name));
    Bucket, "Bucket": one_of("Length of a bucket.", Bucket::WORDS.map(|(word, _)| word));
    RevisionKind, "RevisionKind": one_of("What the vendor changed.", RevisionKind::ALL.map(RevisionKind::name));
    GroupBy, "GroupBy": ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("How sites form series: `site`, `none`, or the key of a tag."))
        .pattern(Some("^[a-z][a-z0-9_]*$"))
        .into();
    Basis, "CoverageBasis": one_of(
        "The reason to expect a figure: nothing known, the caller's `hours`, or the site's opening hours.",
        Basis::WORDS.map(|(word, _)| word)
    );
    NotOpen, "NotOpen": one_of(
        "Why a site is not comparable: it opened after the first day of the earlier range, or closed before the end of the later one.",
        NotOpen::WORDS.map(|(word, _)| word)
    );
    RowState, "RowState": one_of(
        "State of a row: not begun; known to be closed on all its days; not over; over, but late data may still arrive; or final.",
        RowState::WORDS.map(|(word, _)| word)
    );
    WeekStart, "WeekStart": one_of("The first day of a week.", WeekStart::WORDS.map(|(word, _)| word));
    Workbook, "Workbook": ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        .description(Some("A workbook (XLSX): the sheet `figures` has the columns of CSV, and the sheet `about` the facts of `meta`."))
        .into();
    Fill, "Fill": one_of("Value of a row or bucket without a figure.", Fill::WORDS.map(|(word, _)| word));
    TimeFormat, "TimeFormat": one_of("How an answer writes times.", TimeFormat::WORDS.map(|(word, _)| word));
    Partial, "PartialAnswers": one_of(
        "Whether an answer may omit data that is unavailable.",
        Partial::WORDS.map(|(word, _)| word)
    );
}
