from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from leadstream.schemas import metrics
from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.schemas.exit_codes import ExitCode
from leadstream.streams.domain.lead import new_record
from leadstream.streams.engine.processor import DeadLetter, Output, Record
from leadstream.streams.lifecycle.lateness import Lateness

DOCS = Path(__file__).parents[2] / "infra/docs"


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.node.name


def record(topic: str, timestamp_ms: int) -> Record:
    return Record(topic, 0, 0, timestamp_ms, b"lead-1", b"")


def test_a_batch_is_counted_by_topic_and_kind(stage: str) -> None:
    records = [record("touchpoints", 9_000), record("touchpoints", 4_000), record("crm-events", 1)]
    metrics.batch_committed(
        stage,
        records,
        [Output("lead.events", None, None)] * 2,
        [DeadLetter(records[2], "undecodable", "a message")],
        duration_s=0.25,
        committed_at_ms=10_001,
    )
    assert value_of("leadstream_records_in_total", stage=stage, topic="touchpoints") == 2
    assert value_of("leadstream_records_in_total", stage=stage, topic="crm-events") == 1
    assert value_of("leadstream_records_out_total", stage=stage, topic="lead.events") == 2
    letters = {"stage": stage, "topic": "crm-events", "kind": "undecodable"}
    assert value_of("leadstream_dead_letters_total", **letters) == 1
    assert value_of("leadstream_transactions_committed_total", stage=stage) == 1
    assert value_of("leadstream_batch_duration_seconds_sum", stage=stage) == 0.25
    latency = "leadstream_end_to_end_latency_seconds_sum"
    assert value_of(latency, stage=stage, record="oldest") == 10.0
    assert value_of(latency, stage=stage, record="newest") == 1.001


def test_a_timer_alone_has_no_latency_but_a_delay(stage: str) -> None:
    metrics.batch_committed(stage, [], [], [], duration_s=0.1, committed_at_ms=10_000)
    metrics.timer_fired(stage, due_ms=7_500, committed_at_ms=10_000)
    latency = "leadstream_end_to_end_latency_seconds_count"
    assert value_of(latency, stage=stage, record="oldest") == 0
    assert value_of("leadstream_timer_delay_seconds_sum", stage=stage) == 2.5


def test_the_lag_of_a_partition_that_moved_away_is_no_longer_told(stage: str) -> None:
    metrics.lag_measured(stage, {("touchpoints", 0): 5, ("touchpoints", 1): 7})
    metrics.lag_measured(stage, {("touchpoints", 1): -1})
    lag = "leadstream_lag_records"
    labels = {"stage": stage, "topic": "touchpoints"}
    assert REGISTRY.get_sample_value(lag, {**labels, "partition": "0"}) is None
    assert REGISTRY.get_sample_value(lag, {**labels, "partition": "1"}) == 0


def event_at(occurred_at: int) -> LeadEvent:
    crm = CrmEvent(event_id=f"e{occurred_at}", event_time=occurred_at, lead_id="a", type="t")
    return LeadEvent(lead_id="a", event_id=crm.event_id, occurred_at=occurred_at, crm=crm)


def test_lateness_is_told_by_what_can_still_be_mended() -> None:
    known = new_record("a")
    late = Lateness()
    late.look_at(known, [event_at(at) for at in (10, 30, 20, 40, 40)])
    assert (late.reordered, late.beyond_tail) == (1, 0)
    known.base_at = 100
    late.look_at(known, [event_at(at) for at in (99, 100, 101)])
    assert (late.reordered, late.beyond_tail) == (1, 1)


def test_the_document_names_every_metric_and_no_other() -> None:
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in REGISTRY.collect()
        if family.name.startswith("leadstream_")
    }
    documented = re.findall(r"^\| `(\w+)", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(exposed)


def test_the_runbook_uses_only_metrics_that_there_are() -> None:
    documented = set(
        re.findall(r"^\| `(\w+)", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE)
    )
    used = set(re.findall(r"\bleadstream_\w+", (DOCS / "runbook.md").read_text("utf-8")))
    assert used
    for name in used:
        assert re.sub(r"_(bucket|sum|count)$", "", name) in documented, name


def test_the_runbook_tells_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) ", (DOCS / "runbook.md").read_text("utf-8"), re.MULTILINE)
    assert {int(row) for row in rows} >= set(ExitCode)
