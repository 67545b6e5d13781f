//! The schemas of a traffic answer.

use serde_json::{Value, json};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, Object, ObjectBuilder, RefBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::parameters::id;
use super::shapes::{nullable_string, object, one_of, string};
use crate::domain::metric::{Combine, Metric};

/// An answer, and what it is made of.
pub(super) fn schemas() -> [(&'static str, Object); 9] {
    let sites = listed("SiteInfo", "The sites of the query, ascending.");
    let columns = listed("Column", "The metrics of the query, in its order.");
    let errors = listed(
        "SiteFailure",
        "What could not be had; empty unless `partial=allow`.",
    );
    let stale = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(Some("Whether figures past their TTL were used."));
    let meta = object(
        "What an answer says about itself.",
        [
            ("customer_id", id().into()),
            ("from", date("The first date.").into()),
            ("to", date("The last date, included.").into()),
            (
                "hours",
                described("Hours", "The part of each day that counts."),
            ),
            ("bucket", described("Bucket", "How long a row's bucket is.")),
            ("group_by", described("GroupBy", "What a series is.")),
            ("metrics", columns),
            ("sites", sites),
            (
                "as_of",
                formatted(
                    "When the oldest figure used was computed.",
                    KnownFormat::DateTime,
                )
                .into(),
            ),
            (
                "provisional_from",
                ObjectBuilder::from(date("The first local date whose figures may still change."))
                    .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                    .into(),
            ),
            ("stale", stale.into()),
            ("errors", errors),
        ],
    );
    [
        (
            "Traffic",
            object(
                "Figures, and what they are.",
                [
                    ("meta", Ref::from_schema_name("Meta").into()),
                    ("data", listed("Row", "By `site_id`, then `time`.")),
                ],
            ),
        ),
        ("Meta", meta),
        ("Hours", hours()),
        ("Column", column()),
        ("SiteInfo", site()),
        ("SiteFailure", failure()),
        ("Row", row()),
        (
            "Combine",
            one_of("How figures combine.", &Combine::ALL.map(Combine::name)),
        ),
        (
            "SiteId",
            ObjectBuilder::from(id())
                .description(Some("A site's id."))
                .build(),
        ),
    ]
}

/// The answer to the examples of the parameters, cut to one row.
pub(super) fn example() -> Value {
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
            "stale": false,
            "errors": [],
        },
        "data": [row_example()],
    })
}

/// One row.
pub(super) fn row_example() -> Value {
    json!({"site_id": 750, "site_name": "Tyler", "time": "2026-02-18T09:00:00", "entrances": 77})
}

fn hours() -> Object {
    object(
        "A part of the day, on the clock.",
        [
            ("from", string("`HH:MM`.").into()),
            ("to", string("`HH:MM`, excluded; up to `24:00`.").into()),
        ],
    )
}

fn column() -> Object {
    let paired = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(Some(
            "Whether it is made only of what was observed on both sides: a base bucket counts towards neither sum where a part of \
             the denominator is missing for an hour or longer, and a site's day towards neither where the numerator was not \
             observed at all.",
        ));
    let unit = nullable_string(
        "What its figures are counted in: `people`, `transactions`, `ratio`; of `dwell_time` what is configured, else `null`.",
    );
    object(
        "A metric, how its figures combine, and what they are.",
        [
            ("name", Ref::from_schema_name("Metric").into()),
            ("over_time", Ref::from_schema_name("Combine").into()),
            ("over_sites", Ref::from_schema_name("Combine").into()),
            ("paired", paired.into()),
            ("unit", unit.into()),
            ("description", string("What it is, in one line.").into()),
        ],
    )
}

fn site() -> Object {
    object(
        "What is known of a site.",
        [
            ("site_id", Ref::from_schema_name("SiteId").into()),
            (
                "name",
                nullable_string("Its name, where one is known.").into(),
            ),
            (
                "timezone",
                nullable_string("The IANA name of its zone, where one is known.").into(),
            ),
        ],
    )
}

fn failure() -> Object {
    object(
        "A site of which not everything could be had.",
        [
            ("site_id", Ref::from_schema_name("SiteId").into()),
            ("type", string("What kind of problem it is.").into()),
            ("detail", string("What happened.").into()),
        ],
    )
}

/// A row has a field for each metric that was asked for, so none of them is always there.
fn row() -> Object {
    let time = string(
        "When the bucket starts, in the site's local time, on the clock: `2026-02-18T09:00:00`.",
    );
    let mut row = ObjectBuilder::new()
        .description(Some(
            "The figures of one bucket: a field for each metric asked for, `null` where there is no figure. Without \
             `site_id` and `site_name` where all sites are combined.",
        ))
        .property("site_id", Ref::from_schema_name("SiteId"))
        .property("site_name", nullable_string("The site's name, where one is known."))
        .property("time", time)
        .required("time");
    for metric in Metric::ALL {
        let (number, description) = if metric.is_count() {
            (Type::Integer, "A count.")
        } else {
            (Type::Number, "Rounded to four decimals.")
        };
        let figure = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([number, Type::Null]))
            .description(Some(description))
            .minimum(Some(0));
        row = row.property(metric.name(), figure);
    }
    row.build()
}

fn listed(item: &str, description: &str) -> RefOr<Schema> {
    ArrayBuilder::new()
        .items(Ref::from_schema_name(item))
        .description(Some(description))
        .into()
}

fn described(schema: &str, description: &str) -> RefOr<Schema> {
    RefBuilder::new()
        .ref_location_from_schema_name(schema)
        .description(Some(description))
        .into()
}

fn date(description: &str) -> Object {
    formatted(description, KnownFormat::Date)
}

fn formatted(description: &str, format: KnownFormat) -> Object {
    ObjectBuilder::from(string(description))
        .format(Some(SchemaFormat::KnownFormat(format)))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::present::{Format, Rendition, render, testing};

    #[test]
    fn the_example_is_what_is_really_sent() {
        let mut answer = testing::answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        answer.table.row_mut(0, 0)[0] = 77.0;

        let rendered = render(
            &testing::query(),
            answer,
            Format::Json,
            None,
            testing::describe,
        );

        let Rendition::Whole(body) = rendered.body else {
            panic!("a single row is short");
        };
        let sent: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(sent, example());
    }

    #[test]
    fn every_field_sent_is_described() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        let required = |schema: &str| {
            let pointer = format!("/components/schemas/{schema}/required");
            let mut names: Vec<String> =
                serde_json::from_value(document.pointer(&pointer).unwrap().clone()).unwrap();
            names.sort();
            names
        };
        let keys = |value: &Value| {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };

        let example = example();

        assert_eq!(required("Traffic"), keys(&example));
        assert_eq!(required("Meta"), keys(&example["meta"]));
        assert_eq!(required("Hours"), keys(&example["meta"]["hours"]));
        assert_eq!(required("Column"), keys(&example["meta"]["metrics"][0]));
        assert_eq!(required("SiteInfo"), keys(&example["meta"]["sites"][0]));
    }
}
