"""Which dead letters are a person's, and what of a person the topics still hold."""

from __future__ import annotations

from typing import Any

import pytest

from leadstream.infra.forget.letters import letters_of
from leadstream.infra.forget.remains import remainders
from leadstream.infra.topics import TopicState
from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.dead_letters import Happening, History, Letter
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.identity import lead_of_email

SCHEMAS = SingleObject()
AT = 1_800_000_000_000
ADDRESS = "ada.b@firm.example"
LEADS = ["L1", "anon:c0ffee", lead_of_email(ADDRESS)]


def letter(value: bytes | None, key: bytes | None = None, **fields: Any) -> Letter:
    return Letter(
        **{
            "topic": topics.CRM_EVENTS, "partition": 0, "offset": 1, "key": key, "value": value,
            "headers": (), "kind": "not_json", "error": "", "failed_at": AT, "written_at": AT,
            "history": History(1, (Happening("failed", AT),)), **fields,
        }
    )  # fmt: skip


def encoded(name: str, event: Any) -> bytes:
    return Encoder(name, "t", SCHEMAS).encode(event)


TOUCH = Touchpoint(event_id="e", event_time=AT, type="page_viewed")


def crm(**fields: Any) -> bytes:
    stated = {"event_id": "e", "event_time": AT, "lead_id": "other", "type": "lead_created"}
    return encoded("crm_event", CrmEvent(**{**stated, **fields}))


@pytest.mark.parametrize(
    "found",
    [
        letter(b"\xff\x00", b"L1"),
        letter(None, b"L1"),
        letter(b"?", b"c0ffee", topic=topics.TOUCHPOINTS),
        letter(crm(lead_id="L1")),
        letter(crm(type="lead_merged", merged_lead_id="L1")),
        letter(crm(attributes={"email": "Ada.B@Firm.example "})),
        letter(encoded("touchpoint", TOUCH), b"c0ffee", topic=topics.TOUCHPOINTS),
        letter(b'{"lead_id": "L1", "event_id": 7}'),
        letter(b'{"email":"ADA.b@firm.example","event_id":7}'),
        letter(b"a line, L1, of a table"),
        letter(b"\xc3\x01" + bytes(8) + b"\x02x\x04L1\x06abc"),
        letter(b"\xc3\x01" + bytes(8) + b"\x02\x24" + ADDRESS.encode() + b"\x06abc"),
        letter(b"\x00mailto:" + ADDRESS.encode() + b".", topic=topics.TOUCHPOINTS),
    ],
)
def test_a_letter_of_the_person_is_found(found: Letter) -> None:
    assert letters_of(LEADS, AT, SCHEMAS)(found)


@pytest.mark.parametrize(
    "other",
    [
        letter(b"\xff\x00", b"L10"),
        letter(b"?", b"c0ffee"),
        letter(crm(lead_id="L10", attributes={"note": "L1"})),
        letter(b'{"lead_id": "L10", "event_id": 7}'),
        letter(b'{"email": "eve@firm.example", "event_id": 7}'),
        letter(b""),
        letter(None),
        letter(b"of the new life", b"L1", written_at=AT + 1),
        letter(b"of the new life", b"L1", written_at=None, failed_at=AT + 1),
    ],
)
def test_a_letter_of_somebody_else_is_not(other: Letter) -> None:
    assert not letters_of(LEADS, AT, SCHEMAS)(other)


def test_until_when_a_topic_holds_a_person_follows_from_its_configuration() -> None:
    def state(**configs: str) -> TopicState:
        return TopicState("t", "t", 1, 1, {k.replace("_", "."): v for k, v in configs.items()}, {})

    found = remainders(
        [
            state(cleanup_policy="delete", retention_ms="-1"),
            state(cleanup_policy="delete", retention_ms="1000"),
            state(cleanup_policy="compact", retention_ms="-1", max_compaction_lag_ms="5"),
            state(cleanup_policy="compact", max_compaction_lag_ms=str(2**63 - 1)),
        ],
        AT,
    )
    assert [(r.kind, r.until) for r in found] == [
        ("log", None), ("log", AT + 1000), ("compacted", AT + 5), ("compacted", None),
    ]  # fmt: skip
    assert "for good" in found[0].words and "2027-01-15" in found[1].words
