//! The query parameters.

use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{
    Array, ArrayBuilder, KnownFormat, Object, ObjectBuilder, RefBuilder, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, Required, Schema};

use crate::domain::site::MAX_ID;
use crate::http::params;
use crate::http::params::Parameter as Known;

/// `GET /v1/traffic`.
pub(super) fn of_traffic() -> Vec<Parameter> {
    vec![
        sites(Required::True),
        dates(Required::True),
        list(
            &params::METRIC,
            "Which metrics; columns come in the order asked for, repeats do not matter.",
            Ref::from_schema_name("Metric"),
        )
        .required(Required::True)
        .example(Some(json!(["entrances", "dwell_time"])))
        .build(),
        choice(
            &params::BUCKET,
            "How long a row's bucket is. `week` is the ISO week, `total` all dates together; `hour`, `1h` and `60m` \
             are the same, as are `day` and `24h`.",
            "Bucket",
            "hour",
        ),
        query(
            &params::HOURS,
            "Which part of each day counts: two times of day, local to the site, the end excluded, in steps of 5 \
             minutes, not across midnight. `24:00` is allowed as the end. By default the whole day counts.",
            formatted(
                text(r"^([01]\d|2[0-3]):[0-5][05]-(([01]\d|2[0-3]):[0-5][05]|24:00)$"),
                "time-range",
            ),
        ),
        choice(
            &params::GROUP_BY,
            "Whether each site is a series, or all sites are combined into one.",
            "GroupBy",
            "site",
        ),
        choice(
            &params::FILL,
            "What stands where there is no figure: `null`; `zero` for counts; or `none`, no row at all where a row \
             has no figure.",
            "Fill",
            "null",
        ),
        choice(
            &params::PARTIAL,
            "Whether a figure that can't be had fails the whole answer (`deny`), or the answer is what there is, \
             with the rest named in `meta.errors` (`allow`).",
            "Partial",
            "deny",
        ),
        choice(
            &params::FORMAT,
            "The form of the answer; wins over `Accept`.",
            "Format",
            "json",
        ),
        // Without an example, since pages fill it in for callers who need no customer, and whose it is not.
        ParameterBuilder::from(query(
            &params::CUSTOMER,
            "Whose sites; needed only where the caller may see several customers.",
            id(),
        ))
        .example(None)
        .build(),
    ]
}

/// `DELETE /v1/cache`.
pub(super) fn of_purge() -> Vec<Parameter> {
    vec![sites(Required::False), dates(Required::False)]
}

/// `{slug}` in a path.
pub(super) fn slug() -> Parameter {
    ParameterBuilder::new()
        .name("slug")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The last part of a problem's `type`."))
        .schema(Some(Ref::from_schema_name("ProblemSlug")))
        .example(Some(json!("invalid-parameter")))
        .build()
}

/// `{request_id}` in a path.
pub(super) fn request_id() -> Parameter {
    ParameterBuilder::new()
        .name("request_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The `X-Request-Id` that the query was sent with."))
        .schema(Some(text("^[A-Za-z0-9._-]{1,128}$")))
        .example(Some(json!("0a1b2c3d4e5f")))
        .build()
}

fn sites(required: Required) -> Parameter {
    let description = "Which sites, by id; order and repeats do not matter.";
    list(&params::SITES, description, id())
        .required(required)
        .example(Some(json!([750, 751])))
        .build()
}

fn dates(required: Required) -> Parameter {
    let words = crate::domain::query::DateExpression::WORDS.join("|");
    let date = r"(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])";
    let schema = formatted(
        text(&format!(r"^({date}(\.\.{date})?|{words})$")),
        "date-range",
    );
    let description = "Which local dates (1970 to 9998): one, a range whose both ends are included, or a word. \
                       `last_7_days` and `last_30_days` are full days ending yesterday; `this_week` (from Monday) \
                       and `this_month` go up to today.";
    ParameterBuilder::from(query(&params::DATES, description, schema))
        .required(required)
        .build()
}

fn query(known: &Known, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    let example = known
        .example
        .parse::<u64>()
        .map_or_else(|_| Value::from(known.example), Value::from);
    ParameterBuilder::new()
        .name(known.name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}

fn choice(known: &Known, description: &str, schema: &str, default: &str) -> Parameter {
    let schema = RefBuilder::new()
        .ref_location_from_schema_name(schema)
        .default(Some(default.into()));
    query(known, description, schema)
}

/// Items between commas.
fn list(known: &Known, description: &str, item: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    let items: Array = ArrayBuilder::new()
        .items(item.into())
        .min_items(Some(1))
        .build();
    ParameterBuilder::new()
        .name(known.name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .schema(Some(items))
}

/// The same with a format of our own, for what no pattern says: that a range does not run backwards, that a date exists.
fn formatted(schema: Object, format: &str) -> Object {
    ObjectBuilder::from(schema)
        .format(Some(SchemaFormat::Custom(format.to_owned())))
        .build()
}

fn text(pattern: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .build()
}

/// A site's or a customer's id.
pub(super) fn id() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        // At most 2^53 − 1, which no machine's word cuts.
        .maximum(Some(usize::try_from(MAX_ID).unwrap_or(usize::MAX)))
        .build()
}
