"""Made-up journeys, and whose credit a conversion is, by brute force over fractions."""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from leadstream.sinks.clickhouse import ClickHouse

START_MS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * 1000
DAY_MS = 86_400_000
STAGE_OF = {"mql": "mql", "sql": "sql", "opportunity": "opportunity", "won": "customer"}


@dataclass(frozen=True)
class Touch:
    at_ms: int
    channel: str
    type: str = "page_viewed"
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True)
class Step:
    """A transition; amounts are of wins."""

    at_ms: int
    stage: str
    cycle: int = 1
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True)
class Journey:
    lead_id: str
    touches: tuple[Touch, ...]
    steps: tuple[Step, ...]


def store(client: ClickHouse, journeys: Sequence[Journey]) -> None:
    """Put journeys, and nothing else, into the tables that attribution reads."""
    for table in ("touchpoints", "transitions"):
        client.command(f"TRUNCATE TABLE {client.table(table)}")
    touches = [(journey.lead_id, touch) for journey in journeys for touch in journey.touches]
    if touches:
        client.insert(
            "touchpoints",
            ("lead_id", "occurred_at", "event_id", "type", "channel"),
            [
                [lead for lead, _ in touches],
                [touch.at_ms for _, touch in touches],
                [touch.id for _, touch in touches],
                [touch.type for _, touch in touches],
                [touch.channel for _, touch in touches],
            ],
        )
    steps = [
        (journey.lead_id, seq, step)
        for journey in journeys
        for seq, step in enumerate(journey.steps)
    ]
    if steps:
        client.insert(
            "transitions",
            (
                "lead_id",
                "seq",
                "id",
                "revision",
                "cycle",
                "to_stage",
                "occurred_at",
                "amount",
                "currency",
            ),
            [
                [lead for lead, _, _ in steps],
                [seq for _, seq, _ in steps],
                [uuid.uuid4() for _ in steps],
                [seq + 1 for _, seq, _ in steps],
                [step.cycle for _, _, step in steps],
                [step.stage for _, _, step in steps],
                [step.at_ms for _, _, step in steps],
                [step.amount for _, _, step in steps],
                [step.currency for _, _, step in steps],
            ],
        )


@dataclass(frozen=True)
class Conversion:
    """A conversion with its touches within the lookback, oldest first."""

    lead_id: str
    cycle: int
    kind: str
    at_ms: int
    touches: tuple[Touch, ...]
    known_ms: int | None
    opportunity_ms: int | None
    revenue: Decimal


def counted(journey: Journey) -> list[Touch]:
    """Return what counts as a touch, oldest first: of the tellings of one event the earliest."""
    tellings: dict[uuid.UUID, Touch] = {}
    # The engine orders UUIDs by their halves, which a test need not repeat: no two at one instant.
    for touch in sorted(journey.touches, key=lambda touch: touch.at_ms):
        tellings.setdefault(touch.id, touch)
    return [t for t in tellings.values() if t.type not in ("email_delivered", "identify")]


def open_paths(journeys: Sequence[Journey], kind: str, lookback_days: int) -> list[list[Touch]]:
    """Return the touches of each lead that never converted, back from its latest."""
    found = []
    for journey in journeys:
        touches = counted(journey)
        if touches and all(step.stage != STAGE_OF[kind] for step in journey.steps):
            begin_ms = touches[-1].at_ms - lookback_days * DAY_MS
            found.append([touch for touch in touches if touch.at_ms > begin_ms])
    return found


def conversions(journeys: Sequence[Journey], kind: str, lookback_days: int) -> list[Conversion]:
    """Return each first arrival of a lead in the stage, once a cycle."""
    found = []
    for journey in journeys:
        seen: set[int] = set()
        for step in journey.steps:
            if step.stage != STAGE_OF[kind] or step.cycle in seen:
                continue
            seen.add(step.cycle)
            firsts: dict[str, Step] = {}
            for other in journey.steps:
                if other.cycle == step.cycle:
                    firsts.setdefault(other.stage, other)
            known = [other.at_ms for other in journey.steps if other.stage == "known"]
            opened, won = firsts.get("opportunity"), firsts.get("customer")
            begin_ms = step.at_ms - lookback_days * DAY_MS
            touches = [t for t in counted(journey) if begin_ms < t.at_ms <= step.at_ms]
            found.append(
                Conversion(
                    journey.lead_id,
                    step.cycle,
                    kind,
                    step.at_ms,
                    tuple(touches),
                    min(known, default=None),
                    opened.at_ms if opened else None,
                    (won.amount if won and won.amount is not None else Decimal(0)),
                )
            )
    return found


def weights(of: Conversion, model: str, half_life_days: float) -> list[Fraction]:
    """Return what the touches weigh, in their order; they sum to 1 where there are any."""
    count = len(of.touches)
    raw = [Fraction(0)] * count
    if not count:
        return raw
    if model == "first":
        raw[0] = Fraction(1)
    elif model == "last":
        raw[-1] = Fraction(1)
    elif model == "last_non_direct":
        known = [n for n in range(count) if of.touches[n].channel not in ("", "direct")]
        raw[known[-1] if known else -1] = Fraction(1)
    elif model == "linear":
        raw = [Fraction(1)] * count
    elif model == "time_decay":
        for n, touch in enumerate(of.touches):
            age_days = (of.touches[-1].at_ms - touch.at_ms) / DAY_MS
            raw[n] = Fraction(2.0 ** (-age_days / half_life_days))
    elif model == "u_shaped":
        ends = {0, count - 1}
        for n in range(count):
            if count <= 2:
                raw[n] = Fraction(1, count)
            else:
                raw[n] = Fraction(2, 5) if n in ends else Fraction(1, 5) / (count - 2)
    else:
        share = Fraction(3, 10) if model == "w_shaped" else Fraction(9, 40)
        anchors = [0]
        for at_ms in (of.known_ms, of.opportunity_ms):
            before = [
                n
                for n, touch in enumerate(of.touches)
                if at_ms is not None and at_ms <= of.at_ms and touch.at_ms <= at_ms
            ]
            anchors += before[-1:]
        if model == "full_path" and of.kind == "won":
            anchors.append(count - 1)
        for anchor in anchors:
            raw[anchor] += share
        rest = [n for n in range(count) if n not in anchors]
        for n in rest:
            raw[n] = Fraction(1, 10) / len(rest)
    whole = sum(raw)
    return [weight / whole for weight in raw]


def shapley_by_coalitions(paths: Sequence[frozenset[str]]) -> Mapping[str, Fraction]:
    """Return the values of the game in which a coalition is worth the paths within it."""
    players = sorted(frozenset().union(*paths))
    factorials = [1]
    for n in range(1, len(players) + 1):
        factorials.append(factorials[-1] * n)
    values: dict[str, Fraction] = defaultdict(Fraction)
    for size in range(len(players)):
        weight = Fraction(
            factorials[size] * factorials[len(players) - size - 1], factorials[len(players)]
        )
        for coalition in itertools.combinations(players, size):
            without = sum(path <= set(coalition) for path in paths)
            for player in set(players) - set(coalition):
                joined = sum(path <= {*coalition, player} for path in paths)
                values[player] += weight * (joined - without)
    return values
