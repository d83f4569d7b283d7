"""Believable synthetic leads, the same for the same seed, in the order in which they arrive."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime
from random import Random
from typing import Final

from leadstream.infra.embedded.diary import DAY, HOUR, MINUTE, Diary, awake
from leadstream.infra.embedded.market import (
    Origin,
    Profile,
    draw_channel,
    draw_origin,
    draw_profile,
    weighted,
)
from leadstream.infra.embedded.sales import dismiss, find, sell
from leadstream.infra.embedded.visits import (
    Person,
    arrive_unknown,
    raise_hand,
    receive_emails,
    research,
    submit_form,
    visit,
)
from leadstream.schemas.events import CrmEvent, Touchpoint

VISITORS_PER_LEAD: Final = 0.25
_ARRIVES_UNKNOWN_SHARE: Final = 0.35
_STREAM_SLACK_MS: Final = DAY  # a first event may be earlier on the day of its start

Delivery = tuple[int, str, int, Touchpoint | CrmEvent]


def generate(leads: int, seed: int, end: datetime, days: int) -> Iterator[Touchpoint | CrmEvent]:
    """Yield the events of `leads` leads, and of visitors nobody knows, in order of arrival.

    Some events come late, some twice. More leads of the same seed are the same leads and others.

    Args:
        end: what arrives after it is left out.
        days: the leads' first events lie in so many days before `end`.
    """
    end_ms = round(end.timestamp() * 1000)
    people = [(_start_of(f"{seed}/{i}", end_ms, days), f"{seed}-{i:05d}") for i in range(leads)]
    visitors = [
        (_start_of(f"{seed}/v{i}", end_ms, days), f"{seed}-v{i:05d}")
        for i in range(round(leads * VISITORS_PER_LEAD))
    ]
    pending: list[Delivery] = []
    for start, name in sorted(people + visitors):
        while pending and pending[0][0] < start - _STREAM_SLACK_MS:
            yield heapq.heappop(pending)[3]
        for number, (arrives, event) in enumerate(_deliveries_of(name, start, end_ms)):
            if arrives <= end_ms:
                heapq.heappush(pending, (arrives, name, number, event))
    while pending:
        yield heapq.heappop(pending)[3]


def lead_id_of(seed: int, number: int) -> str:
    """Return the id of a lead, from 0."""
    return f"lead-{seed}-{number:05d}"


def _start_of(name: str, end_ms: int, days: int) -> int:
    return end_ms - int(_random(f"{name}/start").random() * days * DAY)


def _random(name: str) -> Random:
    return Random(name)  # noqa: S311  repeatable, not secret


def _deliveries_of(name: str, start: int, end: int) -> list[tuple[int, Touchpoint | CrmEvent]]:
    rng = _random(name)
    if "-v" in name:
        diary = Diary(rng, name, lead_id=None, anonymous_id=f"visitor-{name}")
        _look_around(diary, start)
        return diary.deliveries
    title = "Student" if rng.random() < 0.04 else None
    profile = draw_profile(rng, int(name.rpartition("-")[2]), title)
    diary = Diary(
        rng, name, lead_id=f"lead-{name}", anonymous_id=f"browser-{name}", email=profile.email
    )
    channel = draw_channel(rng)
    interest = min(1.0, rng.betavariate(1.5, 3.2) * channel.quality)
    person = Person(diary, profile, channel, interest, end)
    origin = draw_origin(rng, channel)
    at = awake(rng, start)
    if title is not None:
        _study(person, at, origin)
        return diary.deliveries
    if channel.name != "events" and rng.random() < _ARRIVES_UNKNOWN_SHARE:
        at = arrive_unknown(person, at, origin)
    live = weighted(rng, _LIVES if channel.name != "events" else _BOOTH_LIVES)
    live(person, at, origin)
    return diary.deliveries


def _look_around(diary: Diary, at: int) -> None:
    """Visit now and then and stay unknown."""
    rng = diary.rng
    origin = draw_origin(rng, draw_channel(rng))
    for _ in range(rng.randint(1, 4)):
        page = weighted(rng, (("blog", 6), ("product", 3), ("careers", 1), ("pricing", 1)))
        diary.touch(at, "page_viewed", origin, category=page, url=f"/{page}")
        at += rng.randint(MINUTE, 3 * DAY) if rng.random() < 0.3 else rng.randint(1, 6) * MINUTE


def _subscribe(person: Person, at: int, origin: Origin) -> None:
    submit_form(person, at, origin, "newsletter")
    receive_emails(person, at, person.end, every_days=9, most=person.diary.rng.randint(3, 12))


def _research(person: Person, at: int, origin: Origin) -> None:
    if person.diary.rng.random() < 0.6:
        submit_form(person, at, origin, "newsletter")
    _hand_over(person, research(person, at + MINUTE))


def _evaluate(person: Person, at: int, origin: Origin) -> None:
    person.interest = min(1.0, person.interest + 0.2)
    _research(person, at, origin)


def _ask(person: Person, at: int, origin: Origin) -> None:
    person.interest = min(1.0, person.interest + 0.15)
    at = visit(person, at, origin, depth=0.7)
    _hand_over(person, raise_hand(person, at, origin))


def _meet_at_booth(person: Person, at: int, origin: Origin) -> None:
    person.diary.touch(at, "event_attended", origin, asset=origin.campaign, category="event")
    person.warm(at, 12)
    submit_form(person, at + HOUR, origin, "badge-scan")
    _hand_over(person, research(person, awake(person.diary.rng, at + 2 * DAY)))


def _be_found(person: Person, at: int, _: Origin) -> None:
    find(person, at)


def _spy(person: Person, at: int, origin: Origin) -> None:
    """Be a competitor: read everything, and be thrown out when somebody notices."""
    person.profile = _as_competitor(person.profile)
    submit_form(person, at, origin, "newsletter")
    for _ in range(person.diary.rng.randint(1, 3)):
        at = visit(person, at + HOUR, origin, depth=0.9)
    if person.diary.rng.random() < 0.6:
        dismiss(person, at + DAY, "competitor")


def _spam(person: Person, at: int, origin: Origin) -> None:
    person.diary.touch(at, "contact_sales_requested", origin, properties={"title": "SEO expert"})
    person.diary.touch(at + HOUR, "email_bounced", Origin("email", "system", "email"))
    dismiss(person, at + DAY, "spam")


def _study(person: Person, at: int, origin: Origin) -> None:
    """Be a student or look for a job."""
    rng = person.diary.rng
    submit_form(person, at, origin, "state-of-b2b-report")
    for _ in range(rng.randint(1, 3)):
        at += rng.randint(1, 40) * MINUTE
        page = weighted(rng, (("careers", 3), ("blog", 3)))
        person.diary.touch(at, "page_viewed", origin, category=page, url=f"/{page}")
    if rng.random() < 0.3:
        dismiss(person, at + DAY, weighted(rng, (("Student", 2), ("student_or_jobseeker", 2))))


def _hand_over(person: Person, at: int | None) -> None:
    if at is not None and at < person.end:
        sell(person, at)


def _as_competitor(profile: Profile) -> Profile:
    return Profile(
        profile.email, profile.title, profile.company, profile.employees, profile.industry,
        profile.country, competitor=True,
    )  # fmt: skip


_Life = Callable[[Person, int, Origin], None]
_LIVES: Final[tuple[tuple[_Life, float], ...]] = (
    (_subscribe, 34), (_research, 39), (_evaluate, 12), (_ask, 7), (_be_found, 3), (_spy, 2),
    (_spam, 3),
)  # fmt: skip
_BOOTH_LIVES: Final[tuple[tuple[_Life, float], ...]] = ((_meet_at_booth, 9), (_ask, 1))
