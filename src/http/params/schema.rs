//! Schemas of the query parameters for the API's document, with the names and examples that the parser uses.

use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{
    ArrayBuilder, ObjectBuilder, OneOfBuilder, RefBuilder, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::cache::CacheParams;
use super::decode::Parameter as Known;
use super::revisions::{EVENTS, MAX_LIMIT, RevisionParams, SINCE};
use super::site_list::{LIST_FORMAT, SEARCH, SiteListParams, TAG};
use super::traffic::TrafficParams;
use super::values::{
    BUCKET, CALENDAR, COMPARABLE, COMPARE, CUSTOMER, DATES, FILL, FORMAT, GROUP_BY, HOURS, INCLUDE,
    LIMIT, MAX_AGE, METRIC, MIN_COVERAGE, PARTIAL, SITES, SORT, TIME_FORMAT, WEEK_START,
};
use crate::domain::bucket::Bucket;
use crate::domain::calendar::{Calendar, WeekStart};
use crate::domain::comparison::Mode;
use crate::domain::metric::Metric;
use crate::domain::query::{Fill, GroupBy, Include, Partial, TimeFormat};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::present::Format;
use crate::http::schemas::one_of;

/// The meaning of `hours`.
const HOURS_COUNT: &str = "The part of each day that counts: two local times of day at the site, in steps of 5 minutes; the end is excluded \
                           and may be `24:00`. A window that ends before it begins runs past midnight, and all of it belongs to the date on \
                           which it begins. `open` means each site's configured opening hours. By default the whole day counts.";

impl IntoParams for TrafficParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let metrics = list(
            &METRIC,
            "The metrics; columns keep the requested order, and repeats do not matter. Commas may separate several metrics.",
            Ref::from_schema_name(<Metric as ToSchema>::name()),
        );
        vec![
            sites().required(Required::True),
            dates().required(Required::True),
            metrics
                .required(Required::True)
                .example(Some(json!(["entrances", "dwell_time"]))),
            choice::<Bucket>(
                &BUCKET,
                "Length of a row's bucket. `week` begins on the day of `week_start`; `total` is all dates together. `hour`, `1h` and `60m` \
                 are the same, as are `day`, `24h` and `1d`, and `week` and `1w`. A profile (`hour_of_day`, `day_of_week`, `hour_of_week`) \
                 has rows with `hour` and `weekday` instead of `time`; its counts are means over the observed occurrences.",
                "hour",
            ),
            query(
                &HOURS,
                HOURS_COUNT,
                text(
                    r"^(open|([01]\d|2[0-3]):[0-5][05]-(([01]\d|2[0-3]):[0-5][05]|24:00))$",
                    "time-range",
                ),
            ),
            group_by(),
            choice::<Fill>(
                &FILL,
                "What stands for a missing figure: `null`; `zero`, for counts; or `none`, which omits rows without any figure.",
                "null",
            ),
            compare(),
            comparable(),
            include(),
            query(
                &MIN_COVERAGE,
                "The minimum coverage: a figure with less is `null`. A row of several sites leaves out the part of a site with less, so a \
                 profile of several sites combined does not allow this parameter.",
                ObjectBuilder::new()
                    .schema_type(Type::Number)
                    .minimum(Some(0))
                    .maximum(Some(1))
                    .default(Some(json!(0))),
            )
            .example(Some(json!(0.9))),
            query(
                &SORT,
                "Orders the series by their totals over all `dates`: one of the requested metrics; a `-` before it puts the largest first. \
                 Series without a total come last. By default the series are in the order of `site_id`, or of the tag's values.",
                text(&format!("^-?({})$", Metric::ALL.map(Metric::name).join("|")), "order"),
            ),
            query(
                &LIMIT,
                "Maximum number of series: the first ones of the order.",
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .minimum(Some(1)),
            )
            .example(Some(json!(10))),
            choice::<Partial>(
                &PARTIAL,
                "Whether an unavailable figure fails the whole answer (`deny`), or the answer contains the available figures \
                 and lists the failures in `meta.errors` (`allow`).",
                "deny",
            ),
            choice::<Format>(
                &FORMAT,
                "The format of the answer; takes precedence over `Accept`.",
                "json",
            ),
            calendar(),
            week_start(),
            time_format(),
            max_age(),
            // Without an example: pages would fill it in for callers that need no customer or may not see this one.
            query(
                &CUSTOMER,
                "The customer of the sites; needed only if the caller may see several customers.",
                CustomerId::schema(),
            )
            .example(None),
        ]
        .into_iter()
        .map(ParameterBuilder::build)
        .collect()
    }
}

impl IntoParams for SiteListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let plain = || ObjectBuilder::new().schema_type(Type::String);
        let formats = one_of("A format of the list.", Self::FORMATS.map(Format::name));
        // Without examples: pages would fill them in, and hide sites.
        [
            query(
                &TAG,
                "Only sites with this tag: `region=North`, or `outlet`.",
                text(&format!("^{TAG_PATTERN}$"), "tag"),
            ),
            query(
                &SEARCH,
                "Only sites with this text in their name, code or id; case does not matter.",
                plain().min_length(Some(1)),
            ),
            query(
                &LIST_FORMAT,
                "The format of the list; takes precedence over `Accept`.",
                formats,
            ),
        ]
        .map(|parameter| parameter.example(None).build())
        .into()
    }
}

impl IntoParams for CacheParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        [sites(), dates()].map(ParameterBuilder::build).into()
    }
}

impl IntoParams for RevisionParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT));
        let metrics = list(
            &METRIC,
            "Only these metrics. A metric computed from others stands for those: `conversion_rate` for `transactions` and `entrances`.",
            Ref::from_schema_name(<Metric as ToSchema>::name()),
        );
        [
            query(
                &SINCE,
                "A cursor, to continue after it; or a time with a zone, to begin with the events seen then or later.",
                text(
                    r"^([A-Za-z0-9_-]{32}|\d{4}-\d{2}-\d{2}T.+)$",
                    "cursor-or-time",
                ),
            ),
            sites(),
            metrics.example(Some(json!(["entrances"]))),
            query(
                &EVENTS,
                "Maximum number of events (default 1000). If given, a stream ends after this many.",
                limit,
            )
            .example(Some(json!(1000))),
        ]
        .map(ParameterBuilder::build)
        .into()
    }
}

fn compare() -> ParameterBuilder {
    query(
        &COMPARE,
        "The dates to compare with: `previous_period` (as many days, ending the day before; `this_week`, `this_month` and the like are \
         compared with the same elapsed days of the unit before), `previous_week`, `previous_year` (in a calendar whose years consist of \
         weeks, 364 days earlier, and nothing for week 53), `previous_year_weekday` (364 days earlier), or a range of as many days. Rows get \
         `previous` and `change`; days pair in order, and a day without a counterpart has `null`. If a day is not over, the other side ends \
         at the same local time.",
        text(
            &format!(
                r"^({span}(\.\.{span})?|{})$",
                Mode::WORDS.map(|(word, _)| word).join("|"),
                span = span()
            ),
            "comparison",
        ),
    )
}

fn comparable() -> ParameterBuilder {
    query(
        &COMPARABLE,
        "Whether to include only sites that were open on every day of both ranges, by `opened` and `closed` of the directory; a site without \
         these dates counts as open. `meta.comparison.left_out` lists the others. Only with `compare`.",
        ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .default(Some(json!(false))),
    )
    .example(Some(json!(false)))
}

fn group_by() -> ParameterBuilder {
    choice::<GroupBy>(
        &GROUP_BY,
        "How sites form series: one for each site (`site`), one for all sites combined (`none`), or, with the key of a tag such as `region`, \
         one for each of its values, ascending, and a last one for the sites without that tag. Rows then have a field of that name, with the \
         value or `null`, instead of the site.",
        "site",
    )
}

fn include() -> ParameterBuilder {
    list(
        &INCLUDE,
        "Additions to the answer. `coverage` adds `coverage`, `state` and `clipped` to each row, `sites_observed` and `sites_expected` to \
         rows of several sites, and with `compare` also `coverage` to `previous` (`previous_coverage` in CSV and workbooks). `totals` (JSON \
         only) adds `totals`, a row without `time` for each series, and `grand_total`, a row over all series, both rolled up over all \
         `dates`. `period` adds `year`, `quarter`, `period` and `week` of the date on which each row begins (not for profiles).",
        one_of("An addition.", Include::WORDS),
    )
    .example(Some(json!(Include::WORDS)))
}

fn calendar() -> ParameterBuilder {
    query(
        &CALENDAR,
        "The calendar that defines the weeks, months, quarters and years of `bucket`, `compare` and the words of `dates`: `gregorian`; \
         `nrf`, the 4-5-4 retail calendar, whose weeks begin on Sunday; or one that the operator configured. With a calendar of fiscal \
         years, `dates` also accepts `fy2026`, `fy2026-q1`, `fy2026-p02` (a period, 01 to 12), `fy2026-w07` (a week) and ranges of these.",
        text("^[a-z][a-z0-9_-]*$", "calendar").default(Some(json!(Calendar::GREGORIAN_NAME))),
    )
    // Pages fill in the examples of all parameters together, and week_start is for this calendar only.
    .example(Some(json!(Calendar::GREGORIAN_NAME)))
}

fn week_start() -> ParameterBuilder {
    query(
        &WEEK_START,
        "The first day of the weeks of `bucket=week`, `this_week` and `last_week`; by default the configured one, which is Monday unless the \
         operator changed it. Only for the Gregorian calendar, since others have their own.",
        Ref::from_schema_name(<WeekStart as ToSchema>::name()),
    )
}

fn time_format() -> ParameterBuilder {
    choice::<TimeFormat>(
        &TIME_FORMAT,
        "How the answer writes times: as the site's clock shows them (`local`, `2026-02-18T09:00:00`), with the offset \
         (`offset`, `2026-02-18T09:00:00-06:00`), or in UTC (`utc`, `2026-02-18T15:00:00Z`). The last two need the time zone of every site, \
         and combined sites must share one. A repeated hour has its first offset.",
        "local",
    )
}

fn max_age() -> ParameterBuilder {
    query(
        &MAX_AGE,
        "The maximum age (`15s` to `3650d`, in `s`, `m`, `h` or `d`) of figures of days that are not final: Pitaya first fetches older ones \
         again, even within their TTL. If the vendor fails, Pitaya answers with the older figure, and `meta.stale` is true. By default the \
         TTLs alone decide. `Cache-Control` in a request does not force fresher figures.",
        text(r"^[1-9]\d*[smhd]$", "age"),
    )
}

fn sites() -> ParameterBuilder {
    let description = "The sites: ids, `all` sites of the directory that the caller may see, the store with a code (`code:T-0412`), or those \
                       with a tag (`tag:region=North`, `tag:outlet`). A `-` before a word excludes its sites. Order and repeats do not \
                       matter. Commas may separate several words.";
    let words = format!(r"^(-[1-9]\d{{0,15}}|-?(all|code:[^,]+|tag:{TAG_PATTERN}))$");
    let word = OneOfBuilder::new()
        .item(Ref::from_schema_name(<SiteId as ToSchema>::name()))
        .item(text(&words, "sites"));
    list(&SITES, description, word).example(Some(json!([750, 751])))
}

/// The pattern of a tag.
const TAG_PATTERN: &str = r"([a-z][a-z0-9_]*=)?[^=,;]+";

/// The pattern of a date, month, year or week, also of a fiscal year.
fn span() -> String {
    let year = r"(19[7-9]\d|[2-9]\d{3})";
    let month = r"(0[1-9]|1[0-2])";
    let date = r"(0[1-9]|[12]\d|3[01])";
    let week = r"(0[1-9]|[1-4]\d|5[0-3])";
    let fiscal = format!("fy{year}(-(q[1-4]|p{month}|w{week}))?");
    format!("({year}(-({month}(-{date})?|W{week}))?|{fiscal})")
}

fn dates() -> ParameterBuilder {
    let span = span();
    let words = r"today|yesterday|last_[1-9]\d{0,2}_days|(this|last)_(week|month|quarter|year)";
    query(
        &DATES,
        "Local dates (1970 to 9998): a date `2026-02-18`, a month `2026-02`, a year `2026`, an ISO week `2026-W08`, a range of these that \
         includes both ends and may end `today` or `yesterday` (`2026-11-01..today`), or a word. `last_N_days` (N up to 366) are full days \
         ending yesterday; `this_week`, `this_month`, `this_quarter` and `this_year` end today; `last_week`, `last_month`, `last_quarter` \
         and `last_year` are whole. A `calendar` of fiscal years adds these years and their parts.",
        text(
            &format!(r"^({span}(\.\.({span}|today|yesterday))?|{words})$"),
            "date-range",
        ),
    )
}

fn query(known: &Known, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(known.name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(Value::from(known.example)))
}

/// A parameter with one of the words of a named schema.
fn choice<T: ToSchema>(known: &Known, description: &str, default: &str) -> ParameterBuilder {
    let schema = RefBuilder::new()
        .ref_location_from_schema_name(T::name())
        .default(Some(default.into()));
    query(known, description, schema)
}

/// A list, given by repeating the parameter, or with commas.
fn list(known: &Known, description: &str, item: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    let items = ArrayBuilder::new().items(item.into()).min_items(Some(1));
    query(known, description, items)
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
}

/// Text with a format of our own, for rules beyond the pattern: a range must not run backwards, and a date must exist.
fn text(pattern: &str, format: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .format(Some(SchemaFormat::Custom(format.to_owned())))
}
