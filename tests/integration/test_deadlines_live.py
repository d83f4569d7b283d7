"""Deadlines and leaks by the clock on the wall, on Apache Kafka: exact, in time, and once."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from groups import await_members
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.connections import group_id
from leadstream.schemas.events import CrmEvent, Touchpoint

MODEL = """
version: live
criteria:
  mql: [{{name: asks, hand_raise: true, on: demo_requested}}]
sla:
  calendar:
    hours: {{mon: "00:00-24:00", tue: "00:00-24:00", wed: "00:00-24:00", thu: "00:00-24:00",
            fri: "00:00-24:00", sat: "00:00-24:00", sun: "00:00-24:00"}}
  policies:
    - {{name: first_response, start: mql, target: {{default: {target}}},
       met_by: sales_activity_logged}}
leaks:
  untouched_at_deadline: first_response
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def live(kafka: Any, prefix: str, directory: Path, target: str, **settings: Any) -> Pipeline:
    model = directory / "model.yaml"
    model.write_text(MODEL.format(target=target), "utf-8")
    return Pipeline(
        kafka.bootstrap, prefix, directory, workers=1, clock="wall", model_path=model, **settings
    )


def asks(lead_id: str) -> Touchpoint:
    return Touchpoint(
        event_id=f"{lead_id}-asks", event_time=now_ms(), lead_id=lead_id, type="demo_requested"
    )


def warm_up(pipeline: Pipeline) -> None:
    """Wait until the worker answers, so that its start is not part of a clock."""
    pipeline.send([asks("warm-up")])
    pipeline.await_record(topics.LEAD_SLA, is_event("started", "warm-up"))


def is_event(name: str, lead_id: str) -> Any:
    return lambda said: said.event == name and said.lead_id == lead_id


def test_a_breach_is_told_within_a_second_of_its_deadline_though_nothing_else_happens(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with live(kafka, topic_prefix, tmp_path, "3s") as pipeline:
        warm_up(pipeline)
        pipeline.send([asks("ada")])
        breach, arrived_ms = pipeline.await_record(topics.LEAD_SLA, is_event("breached", "ada"))
        leak, _ = pipeline.await_record(topics.LEAD_LEAKS, is_event("opened", "ada"))

        assert breach.occurred_at == breach.breached_at == breach.due_at
        assert breach.due_at == breach.started_at + 3000
        assert 0 <= arrived_ms - breach.due_at < 1000
        assert (leak.leak, leak.occurred_at) == ("untouched_at_deadline", breach.due_at)

        answer = CrmEvent(
            event_id="answer", event_time=now_ms(), lead_id="ada", type="sales_activity_logged"
        )
        pipeline.send([answer])
        met, _ = pipeline.await_record(topics.LEAD_SLA, is_event("met", "ada"))
        mended, _ = pipeline.await_record(topics.LEAD_LEAKS, is_event("resolved", "ada"))
        assert met.response_s == (answer.event_time - breach.started_at) // 1000 >= 3
        assert met.breached_at == breach.due_at
        assert mended.resolved_at == answer.event_time


def test_a_deadline_outlives_the_worker_that_started_its_clock(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with live(kafka, topic_prefix, tmp_path, "4s") as pipeline:
        warm_up(pipeline)
        pipeline.send([asks("ada")])
        started, _ = pipeline.await_record(topics.LEAD_SLA, is_event("started", "ada"))
        (first,) = pipeline.children
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert now_ms() < started.due_at
        pipeline.start_worker()
        breach, _ = pipeline.await_record(topics.LEAD_SLA, is_event("breached", "ada"), 90)
        assert breach.occurred_at == breach.due_at == breach.started_at + 4000
        # One more event goes through after it; whatever the breach did twice would be there.
        pipeline.send([asks("bob")])
        pipeline.await_record(topics.LEAD_SLA, is_event("started", "bob"))
        said = [s.event for s in pipeline.read(topics.LEAD_SLA) if s.lead_id == "ada"]
        assert sorted(said) == ["breached", "started", "warned"]
        leaks = [s.event for s in pipeline.read(topics.LEAD_LEAKS) if s.lead_id == "ada"]
        assert leaks == ["opened"]


def test_a_clock_that_moves_to_a_worker_which_joins_is_breached_once_when_the_first_is_killed(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    leads = [f"lead-{number}" for number in range(4)]
    with live(kafka, topic_prefix, tmp_path, "20s", topic_partitions=2) as pipeline:
        warm_up(pipeline)
        pipeline.send([asks(lead) for lead in leads])
        for lead in leads:
            pipeline.await_record(topics.LEAD_SLA, is_event("started", lead))
        (first,) = pipeline.children
        pipeline.start_worker()
        group = group_id(pipeline.settings, "lifecycle")
        shares = await_members(kafka.bootstrap, group, 2)
        assert sorted(map(len, shares)) == [1, 1]
        first.send_signal(signal.SIGKILL)
        first.wait()
        pipeline.children.remove(first)
        killed_at = now_ms()
        for lead in leads:
            breach, _ = pipeline.await_record(topics.LEAD_SLA, is_event("breached", lead), 90)
            assert killed_at < breach.due_at == breach.occurred_at == breach.started_at + 20_000
        pipeline.send([asks("the last")])
        pipeline.await_record(topics.LEAD_SLA, is_event("started", "the last"))
        said = [(s.lead_id, s.event, s.status) for s in pipeline.read(topics.LEAD_SLA)]
        assert sorted(s for s in said if s[0] in leads) == [
            (lead, event, "effective")
            for lead in leads
            for event in ("breached", "started", "warned")
        ]
