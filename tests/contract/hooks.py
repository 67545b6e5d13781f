"""Rules of our own that a schema cannot express: a date must exist, a range must not run backwards, and `sort` names a metric of the query."""

import datetime
import re

import schemathesis
from hypothesis import strategies as st

# Days of one query are limited (limits.max_days), as are its rows.
LONGEST = 31
WORDS = [
    "today", "yesterday", "last_7_days", "last_30_days",
    "this_week", "this_month", "last_week", "last_month",
]

days = st.dates(datetime.date(1970, 1, 1), datetime.date(9998, 11, 30))
ranges = st.builds(
    lambda first, length: f"{first}..{first + datetime.timedelta(days=length)}",
    days,
    st.integers(0, LONGEST - 1),
)
dates = st.one_of(days.map(str), ranges, st.sampled_from(WORDS))


def clock(step):
    """The time of day after `step` steps of five minutes."""
    return f"{step // 12:02}:{step % 12 * 5:02}"


hours = st.tuples(st.integers(0, 287), st.integers(1, 288)).map(
    lambda pair: f"{clock(min(pair[0], pair[1] - 1))}-{clock(max(pair[1], pair[0] + 1))}"
)

WORD = re.compile(r"-[1-9]\d{0,15}|-?(all|code:[^,]+|tag:([a-z][a-z0-9_]*=)?[^=,;]+)", re.DOTALL)
KEY = re.compile(r"[a-z][a-z0-9_]*")
TAG = re.compile(r"([a-z][a-z0-9_]*=)?[^=,;]+", re.DOTALL)
METRICS = {
    "entrances", "walk_bys", "transactions", "dwell_time",
    "occupancy", "peak_occupancy", "conversion_rate", "capture_rate",
}
PROFILES = ("hour_of_day", "day_of_week", "hour_of_week")
COMPARISONS = ["previous_period", "previous_week", "previous_year", "previous_year_weekday"]
moments = st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2100, 1, 1)).map(lambda time: f"{time:%Y-%m-%dT%H:%M:%S}Z")

schemathesis.openapi.format("date-range", dates)
schemathesis.openapi.format("cursor-or-time", moments)
# A range must have as many days as the query.
schemathesis.openapi.format("comparison", st.sampled_from(COMPARISONS))
schemathesis.openapi.format("calendar", st.sampled_from(["gregorian", "nrf"]))
schemathesis.openapi.format("time-range", hours)
schemathesis.openapi.format("age", st.integers(15, 10**6).map(lambda seconds: f"{seconds}s"))


def of_demo(site):
    """A site of the demo in place of a valid id or word."""
    if isinstance(site, int) and not isinstance(site, bool) and 1 <= site < 2**53:
        return 750 + site % 13
    return 750 if isinstance(site, str) and WORD.fullmatch(site) else site


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets a valid query be valid as a whole; an invalid value stays as it is."""
    query = case.query
    if not query:
        return
    sites = query.get("sites")
    if isinstance(sites, list):
        # The demo has these sites alone, few codes and tags, and words that only exclude are refused.
        query["sites"] = [of_demo(site) for site in sites]
    if isinstance(query.get("tag"), str) and TAG.fullmatch(query["tag"]):
        # Of any site; the pattern allows control characters, and any length.
        query["tag"] = "outlet"
    if isinstance(query.get("group_by"), str) and KEY.fullmatch(query["group_by"]):
        # Few keys are those of tags.
        query["group_by"] = "none" if query["group_by"] == "none" else "site"
    metrics = query.get("metric")
    metrics = metrics if isinstance(metrics, list) else [metrics]
    known = metrics != [] and all(isinstance(metric, str) and metric in METRICS for metric in metrics)
    sort = query.get("sort")
    if known and isinstance(sort, str) and sort.removeprefix("-") in METRICS - set(metrics):
        query["sort"] = metrics[0]
    include = query.get("include")
    if isinstance(include, list) and "totals" in include and query.get("format") in ("csv", "ndjson", "xlsx"):
        query["format"] = "json"
    if query.get("calendar") == "nrf" and query.get("week_start") in ("monday", "sunday", "saturday"):
        del query["week_start"]
    if isinstance(include, list) and "period" in include and query.get("bucket") in PROFILES:
        query["bucket"] = "day"
    if query.get("comparable") in (True, "true") and "compare" not in query:
        del query["comparable"]
    if query.get("time_format") in ("offset", "utc"):
        # Sites of several zones cannot be combined then.
        query["time_format"] = "local"
    coverage = query.get("min_coverage")
    if isinstance(coverage, float) and 0 <= coverage <= 1:
        # A plain decimal: the API takes no exponent.
        query["min_coverage"] = f"{coverage:.4f}"
    limit = query.get("limit")
    if isinstance(limit, int) and not isinstance(limit, bool) and limit > 2**53:
        query["limit"] = 2**53
