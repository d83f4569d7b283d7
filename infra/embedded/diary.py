"""One synthetic person's events as they reach the input topics: ids, delays, repetitions."""

from __future__ import annotations

from random import Random
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from leadstream.infra.embedded.market import Origin
from leadstream.schemas.events import CrmEvent, Touchpoint

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

LATE_SHARE = 0.015
REPEATED_SHARE = 0.01
SKEWED_SHARE = 0.02

_NAMESPACE: Final = uuid5(NAMESPACE_URL, "leadstream:demo")


class Diary:
    """Collects events with the instants, UTC epoch milliseconds, at which they arrive."""

    def __init__(
        self, rng: Random, name: str, *, lead_id: str | None, anonymous_id: str | None = None,
        email: str | None = None,
    ) -> None:  # fmt: skip
        """`name` is unique among all diaries of all seeds: ids follow from it."""
        self.rng = rng
        self.deliveries: list[tuple[int, Touchpoint | CrmEvent]] = []
        self.name = name
        self._lead_id = lead_id
        self._anonymous_id = anonymous_id
        self._email = email
        self._count = 0

    def touch(
        self, at: int, kind: str, origin: Origin, *, anonymous: bool = False, **fields: Any
    ) -> None:
        """Write down a touchpoint; an anonymous one does not say whose it is."""
        sent_at = received_at = None
        happened = at
        if self.rng.random() < SKEWED_SHARE:
            skew = self.rng.randint(-20, 20) * MINUTE
            happened, sent_at, received_at = at + skew, at + skew + 800, at + 800
        self._deliver(
            at,
            Touchpoint(
                event_id=self._next_id(),
                event_time=happened,
                sent_at=sent_at,
                received_at=received_at,
                type=kind,
                lead_id=None if anonymous else self._lead_id,
                anonymous_id=self._anonymous_id,
                email=None if anonymous else self._email,
                channel=origin.channel,
                source=origin.source,
                medium=origin.medium,
                campaign=origin.campaign,
                **fields,
            ),
            may_be_late=True,
        )

    def crm(self, at: int, kind: str, **fields: Any) -> None:
        """Write down a CRM event."""
        assert self._lead_id is not None  # noqa: S101  visitors have no CRM record
        event = CrmEvent(
            event_id=self._next_id(), event_time=at, lead_id=self._lead_id, type=kind, **fields
        )
        self._deliver(at, event, may_be_late=False)

    def _next_id(self) -> str:
        self._count += 1
        return str(uuid5(_NAMESPACE, f"{self.name}/{self._count}"))

    def _deliver(self, at: int, event: Touchpoint | CrmEvent, *, may_be_late: bool) -> None:
        arrives = at + self.rng.randint(0, 3000)
        if may_be_late and self.rng.random() < LATE_SHARE:
            arrives += int(self.rng.expovariate(1 / (18 * HOUR)))
        self.deliveries.append((arrives, event))
        if self.rng.random() < REPEATED_SHARE:
            self.deliveries.append((arrives + self.rng.randint(1000, 6 * HOUR), event))


def at_work(rng: Random, at: int) -> int:
    """Return the instant, or the next working morning after it (Monday to Friday, 8 to 18 UTC)."""
    day, of_day = divmod(at, DAY)
    if of_day >= 18 * HOUR:
        day, of_day = day + 1, 0
    weekday = (day + 3) % 7  # the epoch began on a Thursday
    if weekday >= 5:
        day, of_day = day + 7 - weekday, 0
    if of_day >= 8 * HOUR:
        return day * DAY + of_day
    return day * DAY + 8 * HOUR + rng.randint(0, 3 * HOUR)


def awake(rng: Random, at: int) -> int:
    """Return the same day at a time when people browse."""
    return at - at % DAY + int(rng.triangular(6 * HOUR, 23 * HOUR, 13 * HOUR))
