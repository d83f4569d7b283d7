"""However long the texts of its events are, a lead's state fits the topics that carry it."""

from __future__ import annotations

from typing import Any

import pytest
from small_models import DAY_MS, MONDAY_MS

from leadstream.infra.topics_file import load_plan
from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Encoder, SingleObject
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.lead import Limits, absorb, encode_record, new_record
from leadstream.streams.domain.state import MAX_ATTRIBUTES
from leadstream.streams.domain.view import view
from leadstream.streams.identify.accept import ID_MAX_CHARS, TEXT_MAX_CHARS, accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import load_models

LETTER = "é"  # two bytes
LEAD = "l" * ID_MAX_CHARS
TOPIC_OF = {
    Transition: topics.LEAD_TRANSITIONS,
    SlaEvent: topics.LEAD_SLA,
    LeakEvent: topics.LEAD_LEAKS,
}


def long(number: int, most: int = TEXT_MAX_CHARS) -> str:
    return f"{number:05d}".ljust(most, LETTER)


def touch(number: int, event_type: str, **fields: Any) -> Touchpoint:
    texts = {name: long(number) for name in ("channel", "source", "medium", "campaign", "term")}
    return Touchpoint(
        event_id=long(number, ID_MAX_CHARS),
        event_time=MONDAY_MS + number * DAY_MS // 50,
        lead_id=LEAD,
        type=event_type,
        asset=long(number),
        category=long(number + 1),
        **texts,
        **fields,
    )


def crm(number: int, event_type: str) -> CrmEvent:
    return CrmEvent(
        event_id=long(number, ID_MAX_CHARS),
        event_time=MONDAY_MS + number * DAY_MS // 50,
        lead_id=LEAD,
        type=event_type,
        owner=long(number),
        reason=long(number),
        opportunity_id=long(number),
        stage=long(number),
        attributes={long(number, 5000): long(number, 200_000)},
    )


def test_the_longest_texts_make_no_record_that_its_topic_refuses() -> None:
    settings = Settings()
    plan, models = load_plan(settings), load_models(None)

    def fits(topic: str, value: bytes) -> bool:
        return len(value) < int(plan.configs_of(topic)["max.message.bytes"])

    kinds = ["page_viewed", "content_downloaded", "email_clicked", "form_submitted"]
    log: list[Touchpoint | CrmEvent] = [
        touch(n, kinds[n % 4], properties={long(4 * n + i, 3000): long(i, 3000) for i in range(4)})
        for n in range(300)
    ]
    log.append(touch(300, "demo_requested"))
    steps = ["lead_accepted", "lead_qualified", "opportunity_created", "opportunity_lost"]
    log += [crm(301 + n, step) for n, step in enumerate(steps)]
    record, encoders = new_record(LEAD), dict[str, Encoder]()
    for event in log:
        for accepted in accept(event, StatedIdentity()):
            for saying in absorb(record, [accepted], models, Limits(), accepted.occurred_at):
                topic = TOPIC_OF[type(saying.decision)]
                encoder = encoders.setdefault(
                    topic, Encoder(topics.SCHEMA_OF[topic], topic, SingleObject())
                )
                assert fits(topic, encoder.encode(saying.decision))
    state = Encoder(topics.SCHEMA_OF[topics.LEAD_STATE], topics.LEAD_STATE, SingleObject())
    assert len(record.head.attributes) == MAX_ATTRIBUTES
    assert fits(topics.LEAD_STATE, state.encode(view(record, models)))
    assert fits(topics.LIFECYCLE_STORE, encode_record(record))


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Touchpoint(event_id="e" * 513, event_time=MONDAY_MS, type="t", lead_id="l"), "event_id"),
        (Touchpoint(event_id="e", event_time=MONDAY_MS, type="t", lead_id="l" * 513), "lead_id"),
        (
            Touchpoint(
                event_id="e", event_time=MONDAY_MS, type="t", lead_id="l", campaign="c" * 2049
            ),
            "campaign",
        ),
        (
            CrmEvent(event_id="e", event_time=MONDAY_MS, lead_id="l", type="t", reason="r" * 2049),
            "reason",
        ),
    ],
)
def test_an_event_with_a_text_that_is_too_long_is_refused_by_the_name_of_its_field(
    event: Touchpoint | CrmEvent, name: str
) -> None:
    with pytest.raises(DecodeError, match=f"{name} has .* characters") as refused:
        accept(event, StatedIdentity())
    assert refused.value.kind == "text_too_long"
