//! The schema of an answer for the API's document, since its rows are not derived from types.

use serde_json::{Value, json};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::meta::Meta;
use crate::domain::metric::Metric;
use crate::domain::periods::COLUMNS;

/// Figures and their description.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes the answers, which other code writes"
)]
pub(in crate::http) struct Traffic {
    meta: Meta<'static>,
    /// By series, then `time`.
    data: Vec<Row>,
    /// A row without `time` for each series of `data`, over all dates; with `include=totals`.
    #[schema(nullable = false)]
    totals: Option<Vec<Row>>,
    /// A row without `time` over all series, shown or not; with `include=totals`.
    #[schema(value_type = Option<Row>, nullable = false)]
    grand_total: Option<Row>,
}

/// A row with a field for each requested metric, so no metric is always present.
struct Row;

impl ToSchema for Row {}

impl PartialSchema for Row {
    fn schema() -> RefOr<Schema> {
        let name = optional(Type::String).description(Some("The site's name, if known."));
        let time = ObjectBuilder::new().schema_type(Type::String).description(Some(
            "Start of the bucket in the site's local time, without an offset: `2026-02-18T09:00:00`. With `time_format=offset` or \
             `utc`, the offset or `Z` follows.",
        ));
        let row = ObjectBuilder::new()
            .description(Some(
                "The figures of one bucket: a field for each requested metric, `null` if it has no figure. Rows of several \
                 sites combined have no `site_id` and no `site_name`; those of a tag's value have a field with the name of its key \
                 instead: the value, or `null` for the sites without the tag. Totals have no `time`.",
            ))
            .property("site_id", Ref::from_schema_name("SiteId"))
            .property("site_name", name)
            .property("time", time)
            .property("weekday", whole("The day of the week in a profile: 1 is Monday.", 1, 7))
            .property("hour", whole("The hour of the day in a profile.", 0, 23))
            .property(
                "days",
                number_of("In a profile: the number of observed occurrences that its counts are means of."),
            );
        let figure = |metric: Metric| {
            let description = if metric.is_count() {
                "A count: a whole number, or in a profile a mean, rounded to four decimals."
            } else {
                "Rounded to four decimals."
            };
            let figure = optional(Type::Number).description(Some(description));
            figure.minimum(Some(0))
        };
        let with_figures = |object: ObjectBuilder| {
            let metrics = Metric::ALL.into_iter();
            metrics.fold(object, |object, metric| {
                object.property(metric.name(), figure(metric))
            })
        };
        let row = with_figures(row);
        let previous = ObjectBuilder::new()
            .description(Some(
                "The other side of a comparison: the start of its bucket, and its figures.",
            ))
            .property("time", optional(Type::String));
        let previous = with_figures(previous).property(
            "coverage",
            share(
                "With `include=coverage`: the coverage of these figures; `null` also without a counterpart.",
            ),
        );
        let change = ObjectBuilder::new().description(Some(
            "The change from the other side: (a − b) / b, or for rates the difference; `null` without a base.",
        ));
        let change = Metric::ALL.into_iter().fold(change, |change, metric| {
            change.property(metric.name(), optional(Type::Number))
        });
        let row = row
            .property("previous", previous)
            .property("change", change);
        // The fields of tags have names that the document does not know.
        let row = row.additional_properties(Some(AdditionalProperties::FreeForm(true)));
        with_worth(with_period(row)).into()
    }
}

/// Adds the fields of `include=period`.
fn with_period(row: ObjectBuilder) -> ObjectBuilder {
    let fields = [
        (
            "With `include=period`: the year of the calendar in which the row begins; hours past midnight belong to the date on which they \
             began.",
            1969,
            9999,
        ),
        ("With `include=period`: the quarter of that year.", 1, 4),
        (
            "With `include=period`: the period of that year; in the Gregorian calendar the month.",
            1,
            12,
        ),
        (
            "With `include=period`: the week of that year; in a calendar of months the ISO week, which may belong to the year before or \
             after.",
            1,
            53,
        ),
    ];
    let fields = COLUMNS.into_iter().zip(fields);
    fields.fold(row, |row, (name, (description, least, most))| {
        row.property(name, whole(description, least, most))
    })
}

/// Adds the fields of `include=coverage`.
fn with_worth(row: ObjectBuilder) -> ObjectBuilder {
    let coverage = share(
        "With `include=coverage`: the observed part of the base buckets with an expected figure: the lowest of the row's metrics, rounded \
         to four decimals; `null` if nothing was expected.",
    );
    let clipped = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(Some(
            "With `include=coverage`: whether the bucket reaches beyond `dates`.",
        ));
    row.property("coverage", coverage)
        .property("state", Ref::from_schema_name("RowState"))
        .property("clipped", clipped)
        .property(
            "sites_observed",
            number_of("With `include=coverage`, for several sites: the number of sites that the figures include."),
        )
        .property(
            "sites_expected",
            number_of("With `include=coverage`, for several sites: the number of sites with an expected figure."),
        )
}

/// A part of a whole, if any.
fn share(description: &str) -> ObjectBuilder {
    let share = optional(Type::Number).description(Some(description));
    share.minimum(Some(0)).maximum(Some(1))
}

/// A value of that type, or `null`.
fn optional(of: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([of, Type::Null]))
}

/// A number of things.
fn number_of(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some(description))
        .minimum(Some(0))
}

/// A number from `least` to `most`.
fn whole(description: &str, least: i32, most: i32) -> ObjectBuilder {
    number_of(description)
        .minimum(Some(least))
        .maximum(Some(most))
}

/// The answer to the examples of the parameters, cut to one row.
pub(in crate::http) fn json_example() -> Value {
    json!({
        "meta": {
            "customer_id": 123,
            "from": "2026-02-18",
            "to": "2026-02-18",
            "hours": {"from": "09:00", "to": "10:00"},
            "bucket": "hour",
            "group_by": "site",
            "metrics": [{
                "name": "entrances",
                "over_time": "sum",
                "over_sites": "sum",
                "paired": false,
                "unit": "people",
                "description": "People who came in.",
            }],
            "sites": [{"site_id": 750, "name": "Tyler", "timezone": null}],
            "as_of": "2026-02-19T15:03:24Z",
            "provisional_from": null,
            "coverage": {"min": 1, "rows_below_1": 0, "basis": "hours"},
            "stale": false,
            "errors": [],
        },
        "data": [row_example()],
    })
}

/// The same as NDJSON.
pub(in crate::http) fn ndjson_example() -> String {
    format!("{}\n", row_example())
}

/// The same as CSV.
pub(in crate::http) const CSV_EXAMPLE: &str =
    "site_id,site_name,time,entrances\r\n750,Tyler,2026-02-18T09:00:00,77\r\n";

fn row_example() -> Value {
    json!({"site_id": 750, "site_name": "Tyler", "time": "2026-02-18T09:00:00", "entrances": 77})
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::render::render;
    use super::super::rendering::RenderedBody;
    use super::super::testing;
    use super::*;
    use crate::domain::coverage::Basis;

    #[test]
    fn the_examples_match_real_answers() {
        let mut answer = testing::answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        answer.table.row_mut(0, 0)[0] = 77.0;
        answer.table.coverages_mut(0)[0] = 1.0;
        answer.table.set_basis(Basis::Hours);
        let sent = |format| {
            let query = testing::query();
            let rendered = render(
                &query,
                answer.clone(),
                testing::plain(format),
                testing::describe,
            );
            match rendered.body {
                RenderedBody::Whole(body) => String::from_utf8(body.into()).unwrap(),
                RenderedBody::Large(_) => panic!("a single row is short"),
            }
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();

        assert_eq!(json(&sent(Format::Json)), json_example());
        assert_eq!(json(&sent(Format::Ndjson)), json(&ndjson_example()));
        assert_eq!(sent(Format::Csv), CSV_EXAMPLE);
    }
}
