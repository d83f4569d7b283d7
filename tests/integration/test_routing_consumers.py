"""Routers read `lead.mql` and `lead.sql` with clients that are not ours."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import confluent_kafka
import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.events import CrmEvent, Touchpoint

AVRO = Path(__file__).resolve().parents[2] / "schemas/avro"
PUBLISHED = [
    json.loads(file.read_text("utf-8"))
    for file in (AVRO / "transition.avsc", *(AVRO / "history").glob("transition.v*.avsc"))
]
MONDAY_MS = int(datetime(2026, 3, 2, 9, 30, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000


def read_by_the_book(value: bytes) -> dict[str, Any]:
    """Decode single-object encoding with nothing but fastavro and the published schemas."""
    assert value[:2] == b"\xc3\x01"
    by_fingerprint = {
        fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"): schema
        for schema in PUBLISHED
    }
    schema = by_fingerprint[value[2:10].hex()]
    decoded = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None)
    assert isinstance(decoded, dict)
    return decoded


def visits() -> list[Touchpoint]:
    """An enterprise CTO reads, and asks for a demo."""
    return [
        Touchpoint(
            event_id="visit", event_time=MONDAY_MS, lead_id="lead-1", type="page_viewed",
            channel="paid search", campaign="spring", category="pricing",
        ),
        Touchpoint(
            event_id="demo", event_time=MONDAY_MS + HOUR_MS, lead_id="lead-1",
            type="demo_requested", channel="direct",
            properties={"title": "CTO", "employees": "4000", "industry": "software"},
        ),
    ]  # fmt: skip


def answers_of_sales() -> list[CrmEvent]:
    """Ann takes the lead, and qualifies it."""
    return [
        CrmEvent(
            event_id="call", event_time=MONDAY_MS + 2 * HOUR_MS, lead_id="lead-1",
            type="lead_accepted", owner="ann",
        ),
        CrmEvent(
            event_id="qualified", event_time=MONDAY_MS + 5 * HOUR_MS, lead_id="lead-1",
            type="lead_qualified", owner="ann",
        ),
    ]  # fmt: skip


def consume_with_confluent(bootstrap: str, topic: str, timeout_s: float) -> list[Any]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-router",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    found: list[Any] = []
    deadline = time.monotonic() + timeout_s
    try:
        while not found and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    return found


def test_a_router_reads_the_handoff_with_all_its_context(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with Pipeline(kafka.bootstrap, topic_prefix, tmp_path, workers=1) as live:
        # By topic, in the order of time: what comes first is told first, and corrected later.
        for events in (visits(), answers_of_sales()):
            live.send(events)
            live.wait_until_through()
        by_kafka_python = live.read_raw(topics.LEAD_MQL)
        full_name = live.settings.topics.full(topics.LEAD_SQL)
        by_confluent = consume_with_confluent(kafka.bootstrap, full_name, timeout_s=30)

    [record] = by_kafka_python
    mql = read_by_the_book(record.value)
    assert record.key == b"lead-1"
    assert (mql["lead_id"], mql["cycle"], mql["to_stage"]) == ("lead-1", 1, "mql")
    assert (mql["cause"], mql["criterion"]) == ("hand_raise", "hand_raise")
    assert (mql["channel"], mql["campaign"], mql["last_channel"]) == (
        "paid search", "spring", "direct",
    )  # fmt: skip
    assert mql["route"] == "enterprise"
    assert mql["score"]["grade"] == "A"
    rules = {part["rule"]: part for part in mql["contributions"]}
    assert set(rules) == {
        "company_enterprise", "industry_target", "title_decides", "page_viewed", "pricing_page",
    }  # fmt: skip
    assert rules["pricing_page"]["event_ids"] == ["visit"]
    total = sum(part["points"] for part in mql["contributions"])
    assert abs(total - mql["score"]["total"]) < 1e-9
    # Grade A: two business hours after Monday 10:30 UTC.
    assert mql["sla_due_at"] == datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert [touch["event_id"] for touch in mql["recent_touchpoints"]] == ["visit", "demo"]

    [message] = by_confluent
    qualified = read_by_the_book(message.value())
    assert message.key() == b"lead-1"
    assert (qualified["to_stage"], qualified["owner"]) == ("sql", "ann")
    assert qualified["first_mql_at"] == mql["occurred_at"]
