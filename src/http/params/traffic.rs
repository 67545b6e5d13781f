//! Parses the parameters of a traffic query, as far as possible without knowing limits, scopes or the day.

use super::bucket::meant_bucket;
use super::calendar::parse_calendar;
use super::compare::{CompareWith, parse_compare};
use super::decode::{Parameter, Reader};
use super::faults::{Faults, ParameterFault};
use super::grouping::parse_group_by;
use super::site_words::{Found, SiteWords};
use super::terms::Terms;
use super::values::{
    BUCKET, CALENDAR, COMPARABLE, COMPARE, CUSTOMER, DATES, FILL, FORMAT, GROUP_BY, HOURS, INCLUDE,
    LIMIT, MAX_AGE, METRIC, MIN_COVERAGE, PARTIAL, SITES, SORT, TIME_FORMAT, WEEK_START,
    number_of_series, parse_comparable, parse_customer, parse_dates, parse_include, parse_metrics,
    parse_sort,
};
use crate::domain::bucket::{Bucket, Hours};
use crate::domain::calendar::Calendar;
use crate::domain::coverage::MinCoverage;
use crate::domain::date_expression::DateExpression;
use crate::domain::freshness::MaxAge;
use crate::domain::metric::Metric;
use crate::domain::query::{Fill, GroupBy, Include, Partial, Sort, TimeFormat};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::present::Format;

/// Parameters of a traffic query, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficParams {
    /// Sites that the caller may see: ascending, unique; empty if the caller may not see the customer.
    pub sites: Vec<SiteId>,
    /// Whether the caller may not see the customer, or a site that it names by its id.
    pub hidden: bool,
    /// Dates, or the words for them.
    pub dates: DateExpression,
    /// Metrics: in the requested order, unique, never empty.
    pub metrics: Vec<Metric>,
    /// Length of a row's bucket.
    pub bucket: Bucket,
    /// How dates form weeks, months, quarters and years.
    pub calendar: Calendar,
    /// Part of the day that counts.
    pub hours: Hours,
    /// Grouping of the rows into series.
    pub group_by: GroupBy,
    /// Value of a row or bucket without a figure.
    pub fill: Fill,
    /// The dates that the rows are compared with.
    pub compare: Option<CompareWith>,
    /// Whether only sites that were open in both ranges are compared.
    pub comparable: bool,
    /// Additions to the rows.
    pub include: Include,
    /// Least coverage of a figure that is shown.
    pub min_coverage: MinCoverage,
    /// Order of the series.
    pub sort: Option<Sort>,
    /// Most series that are shown.
    pub limit: Option<usize>,
    /// How the answer writes times.
    pub time_format: TimeFormat,
    /// Age from which a figure that is not final is fetched first.
    pub max_age: Option<MaxAge>,
    /// Whether the answer may omit data that is unavailable.
    pub partial: Partial,
    /// Format of the answer, if requested by name.
    pub format: Option<Format>,
    /// Owner of the sites: the given customer, or else the only one in the caller's scope; `None` if its scope has none.
    pub customer: Option<CustomerId>,
}

/// Every parameter of a traffic query.
pub(super) static KNOWN: [Parameter; 20] = [
    SITES,
    DATES,
    METRIC,
    BUCKET,
    HOURS,
    GROUP_BY,
    FILL,
    COMPARE,
    COMPARABLE,
    INCLUDE,
    MIN_COVERAGE,
    SORT,
    LIMIT,
    PARTIAL,
    FORMAT,
    CALENDAR,
    WEEK_START,
    TIME_FORMAT,
    MAX_AGE,
    CUSTOMER,
];

/// A site that is left out of one hour or weekday would still count among the days of its mean.
const LEAST_OF_A_PROFILE: &str = "cannot be combined with a profile of several sites together; ask for group_by=site, or without min_coverage";

/// Rows of a profile belong to no point in time.
const PERIOD_OF_A_PROFILE: &str =
    "period cannot be combined with a profile, whose rows have no time; leave it out";

impl TrafficParams {
    /// Parses a raw query string, whose words mean what `terms` say.
    ///
    /// # Errors
    ///
    /// All faults (up to a hundred).
    pub fn parse(query: Option<&str>, terms: &Terms<'_>) -> Result<Self, Vec<ParameterFault>> {
        let mut read = Reader::new(query, &KNOWN);
        for parameter in [&SITES, &DATES, &METRIC] {
            read.require(parameter);
        }
        // The words for sites and series mean what this customer's sites say.
        let mut of_customer = Faults::default();
        let customer = parse_customer(&mut read, &terms.scope, &mut of_customer);
        let owners = terms.owners(customer);
        let sites =
            SiteWords::parse(&mut read).map(|words| find(&words, terms, owners, &mut read.faults));
        let calendar = parse_calendar(&mut read, terms);
        let dates = parse_dates(&mut read, calendar.as_ref());
        let metrics = parse_metrics(&mut read);
        let bucket = read.parsed_by(&BUCKET, str::parse, meant_bucket);
        let bucket = bucket.unwrap_or(Bucket::HOUR);
        let hours = read.parsed(&HOURS).unwrap_or(Hours::ALL_DAY);
        let found = sites.as_ref().map_or(&[][..], |(sites, _)| sites);
        let group_by = parse_group_by(&mut read, terms, owners, found);
        let fill = read.choice(&FILL, &Fill::WORDS).unwrap_or_default();
        let comparable = parse_comparable(&mut read);
        let compare = parse_compare(&mut read, calendar.as_ref());
        let include = parse_include(&mut read);
        let min_coverage: MinCoverage = read.parsed(&MIN_COVERAGE).unwrap_or_default();
        let sort = parse_sort(&mut read, metrics.as_deref());
        let limit = read.parsed_by(&LIMIT, number_of_series, |_| None);
        let partial = read.choice(&PARTIAL, &Partial::WORDS).unwrap_or_default();
        let format = read.choice(&FORMAT, &Format::WORDS);
        let time_format = read.choice(&TIME_FORMAT, &TimeFormat::WORDS);
        let max_age = read.parsed(&MAX_AGE);
        let mut faults = read.faults;
        faults.append(of_customer);
        if matches!(bucket, Bucket::Profile(_)) {
            if group_by != GroupBy::Site && !min_coverage.is_none() {
                faults.push(MIN_COVERAGE.fault(LEAST_OF_A_PROFILE));
            }
            if include.period {
                faults.push(INCLUDE.fault(PERIOD_OF_A_PROFILE));
            }
        }

        let (Some((sites, hidden)), Some(dates), Some(metrics)) = (sites, dates, metrics) else {
            return Err(faults.into_list());
        };
        faults.or_ok(Self {
            sites,
            hidden,
            dates,
            metrics,
            bucket,
            calendar: calendar.unwrap_or(Calendar::GREGORIAN),
            hours,
            group_by,
            fill,
            compare,
            comparable,
            include,
            min_coverage,
            sort,
            limit,
            time_format: time_format.unwrap_or_default(),
            max_age,
            partial,
            format,
            customer,
        })
    }
}

/// The sites of `owners` that `words` stand for, and whether they name a hidden one.
fn find(
    words: &SiteWords,
    terms: &Terms<'_>,
    owners: &[CustomerId],
    faults: &mut Faults,
) -> (Vec<SiteId>, bool) {
    if owners.is_empty() {
        return (Vec::new(), true);
    }
    let Found { sites, hidden } = words.find(terms, owners, faults);
    (sites.into_values().flatten().collect(), hidden)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scope::Scope;
    use super::*;
    use crate::domain::calendar::WeekStart;
    use crate::domain::directory::SiteDirectory;
    use crate::http::settings::Settings;
    use crate::http::testing;

    const GOOD: &str = "sites=750&dates=2026-02-18&metric=entrances";

    fn customers(ids: &[u64]) -> Vec<CustomerId> {
        ids.iter().map(|id| CustomerId::new(*id).unwrap()).collect()
    }

    fn parse(query: &str) -> Result<TrafficParams, Vec<ParameterFault>> {
        parse_for(query, &customers(&[123]))
    }

    fn parse_for(
        query: &str,
        customers: &[CustomerId],
    ) -> Result<TrafficParams, Vec<ParameterFault>> {
        let terms = Terms {
            scope: Scope {
                customers,
                sites: None,
                tags: None,
            },
            directory: &SiteDirectory::default(),
            settings: &testing::settings(),
        };
        TrafficParams::parse(Some(query), &terms)
    }

    fn faulty(query: &str) -> Vec<String> {
        let faults = parse(query).expect_err(query);
        faults.into_iter().map(|fault| fault.parameter).collect()
    }

    #[test]
    fn omitted_parameters_have_their_defaults() {
        let params = parse(GOOD).unwrap();

        assert_eq!(
            params,
            TrafficParams {
                sites: vec![SiteId::new(750).unwrap()],
                hidden: false,
                dates: "2026-02-18".parse().unwrap(),
                metrics: vec![Metric::Entrances],
                bucket: Bucket::HOUR,
                calendar: Calendar::GREGORIAN,
                hours: Hours::ALL_DAY,
                group_by: GroupBy::Site,
                fill: Fill::Null,
                compare: None,
                comparable: false,
                include: Include::NOTHING,
                min_coverage: MinCoverage::NONE,
                sort: None,
                limit: None,
                time_format: TimeFormat::Local,
                max_age: None,
                partial: Partial::Deny,
                format: None,
                customer: CustomerId::new(123),
            }
        );
    }

    #[test]
    fn sites_are_a_set_and_metrics_keep_their_order() {
        let params = parse(
            "sites=9,750,9,8&dates=today&metric=dwell_time,entrances,dwell_time&bucket=24h&hours=09:00-24:00\
             &group_by=none&fill=zero&partial=allow&format=csv&customer=123",
        )
        .unwrap();

        let sites: Vec<_> = params.sites.iter().map(|site| site.get()).collect();
        assert_eq!(sites, [8, 9, 750]);
        assert_eq!(params.metrics, [Metric::DwellTime, Metric::Entrances]);
        assert_eq!(params.bucket, Bucket::Day);
        assert_eq!((params.hours.from(), params.hours.to()), (540, 1440));
        assert_eq!(params.group_by, GroupBy::None);
        assert_eq!(params.fill, Fill::Zero);
        assert_eq!(params.partial, Partial::Allow);
        assert_eq!(params.format, Some(Format::Csv));
        assert_eq!(params.customer, CustomerId::new(123));
    }

    #[test]
    fn every_bad_form_is_a_fault_of_its_parameter() {
        for (parameter, values) in [
            (
                "sites",
                "|,|750,|,750|750,,751|0|-1|+1|%2B1|01| 1|1%20|1.0|1e3|a|0x1|1;2|%00|%D9%A1|9007199254740992\
                 |99999999999999999999",
            ),
            (
                "dates",
                "|2026-2-18|2026-02-30|20260218|2026-02-18..|..2026-02-18|2026-02-18...2026-02-19\
                 |2026-02-19..2026-02-18|2026-02-18,2026-02-19|2026-02-18T00:00:00|1969-12-31|9999-01-01\
                 |tomorrow|Today|last_0_days|last_367_days|today..today|..today|2026-13|2025-W53|fy2026",
            ),
            (
                "metric",
                "|entrance|Entrances|entrances,|entrances,,dwell_time|entrances;dwell_time|*",
            ),
            (
                "bucket",
                "|1m|7m|45m|90m|5h|7h|0h|48h|2d|2w|hours|Day|years|-1h|1",
            ),
            (
                "hours",
                "|09:00|9-17|9:00-17:00|09:00-09:00|00:00-00:00|24:00-09:00|Open|opening|09:01-10:00|24:00-24:00|00:00-24:05\
                 |09:60-10:00|09:00-17:00-18:00|09:00:00-17:00:00|25:00-26:00",
            ),
            ("group_by", "|sites|Site|all|null"),
            ("fill", "|0|NULL|zeros"),
            (
                "compare",
                "|previous|last_week|previous_month|2026-02-10..2026-02-09|2026-02-30|today|..today|none",
            ),
            ("comparable", "|1|yes|True|TRUE|false,true|true"),
            (
                "include",
                "|total|totals,|Totals|Coverage|coverage,,totals|coverage;totals",
            ),
            ("min_coverage", "|-0.1|1.1|.5|1.|1e-1|NaN|50%|0,5|%200.5"),
            (
                "sort",
                "|people|entrances,dwell_time|--entrances|+entrances|-|dwell_time",
            ),
            ("limit", "|0|-1|1.5|ten|01|99999999999999999999999|%2B1"),
            ("partial", "|true|Allow"),
            ("format", "|xml|JSON|jsonl|text/csv"),
            ("week_start", "|Monday|mon|tuesday|1|monday,sunday"),
            ("calendar", "|NRF|retail|4-5-4|nrf,nrf|Gregorian|iso"),
            (
                "max_age",
                "|15|14s|0s|-15s|%2B15s|1.5m|15S|15%20s|015s|1w|1m30s|15sec|s|3651d|99999999999999999999s|9999999999999999d|é",
            ),
            ("time_format", "|UTC|Local|offset,utc|iso|%2B00:00"),
            ("customer", "|0|abc|1,2|-1"),
        ] {
            for value in values.split('|') {
                let others = GOOD.split('&').filter(|pair| !pair.starts_with(parameter));
                let query = others
                    .map(str::to_owned)
                    .chain([format!("{parameter}={value}")])
                    .collect::<Vec<_>>()
                    .join("&");

                let faults = faulty(&query);

                assert!(!faults.is_empty(), "{query}");
                assert!(
                    faults.iter().all(|fault| fault == parameter),
                    "{query}: {faults:?}"
                );
            }
        }
    }

    #[test]
    fn lists_may_be_repeated() {
        let repeated = parse(
            "sites=750&metric=entrances&sites=751,752&dates=today&metric=dwell_time,entrances&sites=750",
        );
        let joined = parse("sites=750,751,752&metric=entrances,dwell_time&dates=today");

        assert_eq!(repeated, joined);
        assert!(repeated.is_ok());
        assert_eq!(faulty(&format!("{GOOD}&dates=2026-02-18")), ["dates"]);
        assert_eq!(
            faulty("sites=750&sites=7,,x&dates=today&metric=entrances"),
            ["sites", "sites"]
        );
    }

    #[test]
    fn the_week_begins_where_the_caller_says_or_else_the_configuration() {
        let settings = Settings {
            week_start: WeekStart::Saturday,
            ..testing::settings()
        };
        let calendar = |query: &str| {
            let terms = Terms {
                scope: Scope {
                    customers: &customers(&[123]),
                    sites: None,
                    tags: None,
                },
                directory: &SiteDirectory::default(),
                settings: &settings,
            };
            TrafficParams::parse(Some(query), &terms).unwrap().calendar
        };

        assert_eq!(calendar(GOOD), Calendar::Gregorian(WeekStart::Saturday));
        assert_eq!(
            calendar(&format!("{GOOD}&week_start=sunday")),
            Calendar::Gregorian(WeekStart::Sunday)
        );
    }

    #[test]
    fn all_faults_come_in_one_answer() {
        let faults = faulty(
            "sites=750,,x&dates=never&metric=people&bucket=1y&hours=9-5&group_by=x&fill=x&partial=x&format=x&customer=x\
             &tz=UTC",
        );

        assert_eq!(
            faults,
            [
                "tz", "sites", "sites", "dates", "metric", "bucket", "hours", "group_by", "fill",
                "partial", "format", "customer"
            ]
        );
    }

    #[test]
    fn a_missing_required_parameter_is_a_fault() {
        assert_eq!(faulty(""), ["sites", "dates", "metric"]);
    }

    #[test]
    fn each_fault_shows_a_valid_example() {
        for fault in parse("sites=x&dates=x&metric=x&bucket=x&hours=x&fill=x").unwrap_err() {
            let example = format!("as in {}=", fault.parameter);

            assert!(fault.detail.contains(&example), "{}", fault.detail);
        }
    }

    #[test]
    fn the_customer_is_required_only_among_several() {
        let several = customers(&[1, 2]);

        let faults = parse_for(GOOD, &several).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].parameter, "customer");
        let said = format!("{GOOD}&customer=2");
        assert_eq!(
            parse_for(&said, &several).unwrap().customer,
            CustomerId::new(2)
        );
        assert_eq!(parse_for(GOOD, &[]).unwrap().customer, None);
    }

    proptest! {
        #[test]
        fn any_query_string_is_parsed_without_a_panic(query in "((sites|dates|metric|bucket|hours|fill|x)=?[0-9a-z:.,%+-]{0,12}&?){0,8}") {
            if let Err(faults) = parse(&query) {
                prop_assert!(!faults.is_empty());
            }
        }
    }
}
