"""What the stages read and say is what the compiled codec takes; else it would be fast in vain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import native, topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Output, Record
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.lifecycle.stage import lifecycle_stage

SCHEMAS = SingleObject()
END = datetime(2026, 3, 1, tzinfo=UTC)
END_MS = int(END.timestamp() * 1000)


def processed(stage: Any, records: list[Record]) -> list[Output]:
    """Return what a stage says of records, and of what it tells itself."""
    logic, outputs = stage.open(0), []
    while records:
        results = [logic.process(records[i : i + 200], END_MS) for i in range(0, len(records), 200)]
        assert not [letter for result in results for letter in result.dead_letters]
        said = [output for result in results for output in result.outputs]
        records = records_of([o for o in said if o.topic in stage.inputs])
        outputs += said
    return outputs


def records_of(outputs: list[Output]) -> list[Record]:
    return [
        Record(o.topic, 0, offset, END_MS, o.key, o.value, o.headers)
        for offset, o in enumerate(outputs)
    ]


@pytest.mark.skipif(not native.AVAILABLE, reason="the compiled codec was not built")
def test_synthetic_leads_go_through_both_stages_without_fastavro(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fastavro, "schemaless_reader", None)
    monkeypatch.setattr(fastavro, "schemaless_writer", None)
    encoders = {t: Encoder(topics.SCHEMA_OF[t], t, SCHEMAS) for t in topics.INPUTS}
    inputs = []
    for event in generate(80, 7, END, 180):
        topic = topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS
        inputs.append(Output(topic, b"k", encoders[topic].encode(event)))
    events = processed(IdentifyStage(Settings(), SCHEMAS), records_of(inputs))
    said = processed(lifecycle_stage(Settings(clock="event"), SCHEMAS), records_of(events))
    for output in said:
        name = topics.SCHEMA_OF.get(output.topic)
        if name is not None and output.value is not None and not output.headers:
            Decoder(name, SCHEMAS).decode(output.value)
    assert any(output.headers for output in said)  # ids gave events to whom they belong
    assert {topics.LEAD_STATE, topics.LEAD_TRANSITIONS, topics.LEAD_SLA} <= {o.topic for o in said}
