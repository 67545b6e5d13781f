"""Rules of our own formats that a schema cannot express: a date must exist, and a range must not run backwards."""

import datetime

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

schemathesis.openapi.format("date-range", dates)
schemathesis.openapi.format("time-range", hours)
