"""Records as the processors would say them, made up from a seed, for tests of the sink."""

from __future__ import annotations

import random
import uuid
from decimal import Decimal
from typing import Any

from leadstream.schemas.decisions import (
    Contribution,
    LeadState,
    LeakEvent,
    Predicted,
    PredictedContribution,
    Score,
    SlaEvent,
    TouchSummary,
    Transition,
)
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint

START_MS = 1_700_000_000_123
DAY_MS = 86_400_000
MAIN_LINE = ["known", "engaged", "mql", "sal", "sql", "opportunity", "customer"]
CHANNELS = ["email", "paid search", "unknown", None]


def stable_uuid(*parts: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, parts))))


def touch_event(lead_id: str, number: int, channel: str | None = "email") -> LeadEvent:
    at = START_MS + number * DAY_MS // 7
    event_id = stable_uuid(lead_id, number) if number % 2 else f"{lead_id}-{number}"
    touch = Touchpoint(
        event_id=event_id,
        event_time=at,
        type="page_viewed",
        lead_id=lead_id,
        channel=channel,
        category="pricing",
        properties={"k": "v'\\\n"},
    )
    return LeadEvent(
        lead_id=lead_id,
        event_id=event_id,
        occurred_at=at,
        source_topic="touchpoints",
        source_partition=0,
        source_offset=number,
        ingest_time=at + 5,
        touchpoint=touch,
    )


def crm_event(lead_id: str, number: int, kind: str = "lead_accepted") -> LeadEvent:
    at = START_MS + number * DAY_MS // 7 + 1
    crm = CrmEvent(
        event_id=f"crm-{lead_id}-{number}",
        event_time=at,
        lead_id=lead_id,
        type=kind,
        owner="Ann",
        amount=Decimal("1234.50"),
        attributes={"country": "DE"},
    )
    return LeadEvent(
        lead_id=lead_id,
        event_id=crm.event_id,
        occurred_at=at,
        source_topic="crm-events",
        source_partition=0,
        source_offset=number,
        ingest_time=at,
        crm=crm,
    )


def transition(lead_id: str, seq: int, revision: int, **changes: Any) -> Transition:
    stages = ["anonymous", *MAIN_LINE]
    defaults: dict[str, Any] = {
        "id": stable_uuid(lead_id, seq, changes.get("to_stage", "")),
        "from_stage": stages[seq],
        "to_stage": stages[seq + 1],
        "cycle": 1,
        "occurred_at": START_MS + seq * DAY_MS,
        "cause": "criteria",
        "cause_event_id": f"{lead_id}-{seq}",
        "cause_type": "page_viewed",
        "criterion": "score >= 60",
        "model_version": "m1",
        "score": Score(total=61.5, fit=20.0, engagement=41.5, grade="B"),
        "threshold": 60.0,
        "margin": 1.5,
        "contributions": [
            Contribution(rule="minor", group="web", raw=1, capped=1, points=-1.0, hits=1),
            Contribution(
                rule="pricing_page", group="web", raw=9, capped=8, points=7.5, hits=2,
                event_ids=["a", "b"],
            ),
        ],
        "recent_touchpoints": [
            TouchSummary(event_id="a", occurred_at=START_MS, type="page_viewed", channel="email")
        ],
        "amount": Decimal("10.00"),
        "predicted": Predicted(
            score=0.25,
            contributions=[
                PredictedContribution(feature="count(page_viewed)", value=1.0986, log_odds=0.75),
                PredictedContribution(feature="(base)", value=1.0, log_odds=-1.848612),
            ],
        ),
    }  # fmt: skip
    return Transition(lead_id=lead_id, seq=seq, revision=revision, **{**defaults, **changes})


def sla_event(lead_id: str, event: str, revision: int, **changes: Any) -> SlaEvent:
    defaults: dict[str, Any] = {
        "id": stable_uuid(lead_id, event),
        "policy": "first_response",
        "clock": stable_uuid(lead_id, "clock"),
        "cycle": 1,
        "occurred_at": START_MS,
        "transition_id": stable_uuid(lead_id, "mql"),
        "started_at": START_MS,
        "due_at": START_MS + 7_200_000,
        "target_s": 7200,
        "grade": "A",
        "model_version": "m1",
    }
    return SlaEvent(lead_id=lead_id, event=event, revision=revision, **{**defaults, **changes})


def leak_event(lead_id: str, event: str, revision: int, **changes: Any) -> LeakEvent:
    defaults: dict[str, Any] = {
        "id": stable_uuid(lead_id, "leak", event),
        "leak": "mql_without_owner",
        "cycle": 1,
        "occurred_at": START_MS,
        "opened_at": START_MS,
        "stage": "mql",
        "transition_id": stable_uuid(lead_id, "mql"),
        "grade": "A",
        "model_version": "m1",
    }
    return LeakEvent(lead_id=lead_id, event=event, revision=revision, **{**defaults, **changes})


def lead_state(lead_id: str, revision: int, **changes: Any) -> LeadState:
    defaults: dict[str, Any] = {
        "stage": "known",
        "stage_since": START_MS,
        "cycle": 1,
        "score": Score(total=5.0, fit=1.0, engagement=4.0, grade="C"),
        "score_as_of": START_MS,
        "mql_count": 0,
        "first_event_at": START_MS,
        "last_event_at": START_MS,
        "event_count": 1,
        "late_count": 0,
        "unknown_count": 0,
        "model_version": "m1",
        "reached": {"known": START_MS},
    }
    return LeadState(lead_id=lead_id, revision=revision, **{**defaults, **changes})


def random_states(count: int, seed: int) -> list[LeadState]:
    """Return states of every kind: anonymous, skipped stages, beside the main line, merged."""
    chance = random.Random(seed)
    states = []
    for number in range(count):
        furthest = chance.randrange(len(MAIN_LINE))
        at = START_MS + chance.randrange(10**9)
        reached = {}
        for stage in MAIN_LINE[: furthest + 1]:
            at += chance.randrange(20 * DAY_MS)
            if stage != "engaged" or furthest == 1 or chance.random() < 0.7:
                reached[stage] = at
        stage = chance.choice([MAIN_LINE[furthest]] * 4 + ["nurture", "disqualified", "lost"])
        extra: dict[str, Any] = {}
        if chance.random() < 0.1:
            stage, reached = "anonymous", {"anonymous": at}
        elif chance.random() < 0.1:
            stage, extra = "merged", {"merged_into": "lead-0"}
        states.append(
            lead_state(
                f"lead-{number}",
                chance.randrange(1, 1000),
                stage=stage,
                reached=reached,
                channel=chance.choice(CHANNELS),
                campaign=chance.choice(["spring", None]),
                owner=chance.choice(["Ann", "Bob", None]),
                **extra,
            )
        )
    return states
