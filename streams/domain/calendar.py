"""Business time: working hours in a time zone, without holidays, exact over summer time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import holidays

from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.model_sla import WEEKDAYS, BusinessCalendar

_LONGEST_SEARCH_DAYS: Final = 3660
_AT_ONCE_DAYS: Final = 14


class WorkingTime:
    """Arithmetic on one business calendar; each day's hours are worked out once."""

    def __init__(self, calendar: BusinessCalendar) -> None:
        self._zone = ZoneInfo(calendar.timezone)
        self._spans = [calendar.hours.get(day, []) for day in WEEKDAYS]
        self._country = calendar.country
        self._subdivision = calendar.subdivision
        self._holidays = frozenset(calendar.holidays)
        self._workdays = frozenset(calendar.workdays)
        self._day = lru_cache(maxsize=4096)(self._open_spans)
        self._fortnight = lru_cache(maxsize=4096)(self._spans_of_days)
        # A transition asks for several deadlines from one instant.
        self._date = lru_cache(maxsize=16)(self._date_at)

    def due(self, start: EpochMs, target_s: int) -> EpochMs:
        """Return the instant at which `target_s` business seconds after `start` have passed."""
        left = target_s * MS_PER_SECOND
        for opens, closes in self._spans_from(start):
            begin = max(opens, start)
            if closes - begin >= left:
                return min(begin + left, LATEST_MS)
            left -= closes - begin
        raise ValueError(f"no {target_s} business seconds within ten years: check the calendar")

    def seconds_between(self, start: EpochMs, end: EpochMs) -> int:
        """Return the business seconds from start to end, rounded down."""
        total = 0
        for opens, closes in self._spans_from(start):
            if opens >= end:
                break
            total += max(0, min(closes, end) - max(opens, start))
        return total // MS_PER_SECOND

    def is_free(self, day: date) -> bool:
        """Say whether nobody works on a day, whatever weekday it is."""
        if day in self._holidays:
            return True
        if self._country is None or day in self._workdays:
            return False
        return day in _public_holidays(self._country, self._subdivision, day.year)

    def _spans_from(self, start: EpochMs) -> Iterator[tuple[EpochMs, EpochMs]]:
        day = self._date(start)
        for _ in range(0, _LONGEST_SEARCH_DAYS, _AT_ONCE_DAYS):
            for opens, closes in self._fortnight(day):
                if closes > start:
                    yield opens, closes
            day += timedelta(days=_AT_ONCE_DAYS)

    def _date_at(self, instant: EpochMs) -> date:
        return datetime.fromtimestamp(instant / MS_PER_SECOND, self._zone).date()

    def _spans_of_days(self, first: date) -> tuple[tuple[EpochMs, EpochMs], ...]:
        days = [self._day(first + timedelta(days=offset)) for offset in range(_AT_ONCE_DAYS)]
        return tuple([span for spans in days for span in spans])

    def _open_spans(self, day: date) -> tuple[tuple[EpochMs, EpochMs], ...]:
        spans = self._spans[day.weekday()]
        if not spans or self.is_free(day):
            return ()
        return tuple((self._at(day, s.start_min), self._at(day, s.end_min)) for s in spans)

    def _at(self, day: date, minute: int) -> EpochMs:
        wall = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
        return int(wall.replace(tzinfo=self._zone).astimezone(UTC).timestamp()) * MS_PER_SECOND


@cache
def _public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
