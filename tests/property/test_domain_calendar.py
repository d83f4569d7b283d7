"""Business time equals counting the minutes of the wall clock one by one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from lead_logs import MINUTE_MS, examples

from leadstream.streams.domain.calendar import WorkingTime
from leadstream.streams.domain.model_sla import WEEKDAYS, BusinessCalendar

# Monday before the nights on which clocks change: Europe 29 March and 25 October 2026, US 8 March
# and 1 November 2026, Lord Howe (by half an hour) 5 April 2026.
WEEKS = [
    date(2026, 3, 2),
    date(2026, 3, 23),
    date(2026, 3, 30),
    date(2026, 10, 19),
    date(2026, 10, 26),
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]

# Written by hand: the public holidays of Berlin from March 2026 on.
BERLIN_HOLIDAYS = [
    *(date(2026, 3, 8), date(2026, 4, 3), date(2026, 4, 6), date(2026, 5, 1), date(2026, 5, 14)),
    *(date(2026, 5, 25), date(2026, 10, 3), date(2026, 12, 25), date(2026, 12, 26)),
]
MOST_WEEKS = 4
"""So long a deadline is at most, or minutes of years would be counted, beyond those holidays."""

# No opening or closing lies in an hour that a change of the clocks skips or repeats.
_edges = st.sampled_from([0, 45, 240, 420, 540, 555, 720, 780, 1020, 1439, 1440])


@st.composite
def calendars(draw: st.DrawFn) -> BusinessCalendar:
    hours = {}
    for day in draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1)):
        edges = sorted(draw(st.sets(_edges, min_size=2, max_size=4)))
        spans = [
            f"{a // 60:02d}:{a % 60:02d}-{b // 60:02d}:{b % 60:02d}"
            for a, b in zip(edges[::2], edges[1::2], strict=False)
        ]
        hours[day] = draw(st.permutations(spans))
    monday = draw(st.sampled_from(WEEKS))
    holidays = [monday + timedelta(days=n) for n in draw(st.sets(st.integers(0, 9), max_size=3))]
    public = draw(st.sampled_from([{}, {"country": "DE", "subdivision": "BE"}]))
    workdays = draw(st.sets(st.sampled_from(BERLIN_HOLIDAYS), max_size=2))
    zone = draw(st.sampled_from(ZONES))
    return BusinessCalendar.model_validate(
        {"timezone": zone, "hours": hours, "holidays": holidays, "workdays": workdays, **public}
    )


def open_minutes(calendar: BusinessCalendar, start_ms: int, days: int) -> list[bool]:
    """Say of each minute from `start_ms` whether the wall clock then shows working hours."""
    zone = ZoneInfo(calendar.timezone)
    found = []
    public = BERLIN_HOLIDAYS if calendar.country == "DE" else []
    free = {day for day in public if day not in calendar.workdays} | {*calendar.holidays}
    for n in range(days * 1440):
        wall = datetime.fromtimestamp(start_ms / 1000 + n * 60, UTC).astimezone(zone)
        minute = wall.hour * 60 + wall.minute
        spans = calendar.hours.get(WEEKDAYS[wall.weekday()], [])
        found.append(
            wall.date() not in free
            and any(span.start_min <= minute < span.end_min for span in spans)
        )
    return found


starts = st.builds(
    lambda monday, minute: (
        int(datetime(monday.year, monday.month, monday.day, tzinfo=UTC).timestamp()) * 1000
        + minute * MINUTE_MS
    ),
    st.sampled_from(WEEKS),
    st.integers(0, 8 * 1440),
)


@examples(40)
@given(calendars(), starts, st.integers(1, 1440))
def test_a_deadline_lies_where_counting_open_minutes_ends(
    calendar: BusinessCalendar, start: int, target_min: int
) -> None:
    spans = [span for day in calendar.hours.values() for span in day]
    target_min = min(target_min, MOST_WEEKS * sum(s.end_min - s.start_min for s in spans))
    working = WorkingTime(calendar)
    due = working.due(start, target_min * 60)
    days = (due - start) // (1440 * MINUTE_MS) + 1
    counted = open_minutes(calendar, start, days)
    before = (due - start) // MINUTE_MS
    assert sum(counted[:before]) == target_min
    assert counted[before - 1]
    assert working.seconds_between(start, due) == target_min * 60


@examples(40)
@given(calendars(), starts, st.integers(0, 9 * 1440))
def test_seconds_between_are_the_open_minutes(
    calendar: BusinessCalendar, start: int, length_min: int
) -> None:
    counted = open_minutes(calendar, start, 10)[:length_min]
    end = start + length_min * MINUTE_MS
    assert WorkingTime(calendar).seconds_between(start, end) == sum(counted) * 60
