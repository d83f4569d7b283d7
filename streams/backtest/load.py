"""How much a model asks of sales on each business day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.calendar import WorkingTime
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.model import Model


@dataclass(frozen=True, slots=True)
class SlaLoad:
    """Clocks started per business day; `busiest` is the first day with the most, None without."""

    clocks: int
    business_days: int
    mean_per_day: float | None
    max_per_day: int
    busiest: date | None
    by_policy: dict[str, int]


class LoadCounter:
    """Counts clocks by the day of `sla.calendar` on which somebody can begin to answer."""

    def __init__(self, model: Model) -> None:
        calendar = model.sla.calendar
        self._zone = ZoneInfo(calendar.timezone)
        self._working_time = WorkingTime(calendar)
        self._by_day: Counter[date] = Counter()
        self._by_policy = Counter({policy.name: 0 for policy in model.sla.policies})

    def add(self, started_at: EpochMs, policy: str) -> None:
        """Count a clock; one that starts out of hours is work of the next business day."""
        self._by_day[self._date(self._working_time.due(started_at, 1))] += 1
        self._by_policy[policy] += 1

    def total(self, first: EpochMs, last: EpochMs) -> SlaLoad:
        """Return the load; the mean is over all business days from `first` to `last`."""
        days = self._business_days(first, last) | self._by_day.keys()
        clocks = self._by_day.total()
        busiest = max(
            self._by_day, key=lambda day: (self._by_day[day], -day.toordinal()), default=None
        )
        return SlaLoad(
            clocks=clocks,
            business_days=len(days),
            mean_per_day=clocks / len(days) if days else None,
            max_per_day=self._by_day[busiest] if busiest else 0,
            busiest=busiest,
            by_policy=dict(self._by_policy),
        )

    def _business_days(self, first: EpochMs, last: EpochMs) -> set[date]:
        day, end = self._date(first), self._date(last)
        found = set()
        while day <= end:
            opens, closes = self._midnight(day), self._midnight(day + timedelta(days=1))
            if self._working_time.seconds_between(opens, closes) > 0:
                found.add(day)
            day += timedelta(days=1)
        return found

    def _date(self, instant: EpochMs) -> date:
        return datetime.fromtimestamp(instant / MS_PER_SECOND, self._zone).date()

    def _midnight(self, day: date) -> EpochMs:
        local = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return int(local.astimezone(UTC).timestamp()) * MS_PER_SECOND
