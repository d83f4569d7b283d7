"""The work whose cost is guarded: one log, always the same, through fold, stages and codec.

`guard.py` runs this under valgrind. Each scenario is prepared in a fork of its own, which forks
twice more, once to do nothing and once to work; the difference between the two is the work.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject, from_json_object, parse_time
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.domain import lead as lead_module
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.criteria import Checker
from leadstream.streams.domain.facts import NOBODY
from leadstream.streams.domain.lead import (
    LeadRecord,
    Limits,
    Saying,
    absorb,
    decode_record,
    encode_record,
    new_record,
)
from leadstream.streams.engine.processor import PartitionLogic, Record
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.lifecycle.stage import LifecycleStage
from leadstream.streams.models import load_models

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
SCHEMAS = SingleObject()
LEADS = 26
SEED = 7
LOG_END = datetime(2026, 3, 1, tzinfo=UTC)
LOG_DAYS = 180
WARM_SHARE = 0.5
BATCH = 50
CODEC_ROUNDS = 40
REFERENCE_UNITS = 1000


@dataclass(frozen=True)
class Work:
    """What is measured, and how many events, or records, that is."""

    units: int
    run: Callable[[], object]


Scenario = Callable[[], Work]


@cache
def shipped() -> ModelSet:
    return load_models(None)


@cache
def market() -> list[Touchpoint | CrmEvent]:
    return list(generate(LEADS, SEED, LOG_END, LOG_DAYS))


@cache
def lead_events() -> list[LeadEvent]:
    resolver = StatedIdentity()
    return [
        accepted
        for event in market()
        for accepted in accept(event, resolver, topic=topics.TOUCHPOINTS, partition=0)
    ]


def identify() -> Work:
    """`IdentifyPartition.process`, both inputs."""
    records = [
        _record(topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS, event)
        for event in market()
    ]
    return _through(IdentifyStage(Settings(), SCHEMAS).open(0), records, lambda batch: 0)


def lifecycle() -> Work:
    """`LifecyclePartition.process`, with deadlines, by a clock that follows the log."""
    events = lead_events()
    records = [_record(topics.LEAD_EVENTS, event) for event in events]
    at = {record.value: event.occurred_at for record, event in zip(records, events, strict=True)}
    stage = LifecycleStage(Settings(clock="wall"), shipped(), SCHEMAS)
    return _through(stage.open(0), records, lambda batch: at[batch[-1].value])


def fold() -> Work:
    """`absorb` alone, in batches as the lifecycle makes them, on records that stay objects."""
    models, limits = shipped(), Limits()
    held = {event.lead_id: new_record(event.lead_id) for event in lead_events()}

    def run(events: list[LeadEvent]) -> None:
        for batch in _batches(events):
            by_lead: dict[str, list[LeadEvent]] = {}
            for event in batch:
                by_lead.setdefault(event.lead_id, []).append(event)
            for lead_id, of_lead in by_lead.items():
                lead_module.absorb(held[lead_id], of_lead, models, limits)

    warm, measured = _halves(lead_events())
    run(warm)
    return Work(len(measured), lambda: run(measured))


class _Measure(msgspec.Struct):
    name: str
    at: int
    tags: dict[str, str] = {}


def reference() -> Work:
    """Work that no change of ours touches, by which builds of Python are compared."""
    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Measure)

    def run() -> None:
        counts: dict[str, int] = {}
        for number in range(REFERENCE_UNITS):
            made = _Measure(f"lead-{number % 97}", number, {"channel": "direct", "kind": "page"})
            read = decoder.decode(encoder.encode(made))
            counts[read.name] = counts.get(read.name, 0) + len(read.tags)
            if number % 50 == 0:
                sorted(counts.items(), key=lambda item: (item[1], item[0]))

    run()
    return Work(REFERENCE_UNITS, run)


def encoding(name: str) -> Scenario:
    """`Encoder.encode` of a schema's examples."""

    def prepare() -> Work:
        encoder, structs = _encoder(name), _examples(name)
        encoder.encode(structs[0])
        return _repeated(encoder.encode, structs)

    return prepare


def decoding(name: str) -> Scenario:
    """`Decoder.decode` of a schema's examples."""

    def prepare() -> Work:
        encoder, decoder = _encoder(name), Decoder(name, SCHEMAS)
        encoded = [encoder.encode(struct) for struct in _examples(name)]
        decoder.decode(encoded[0])
        return _repeated(decoder.decode, encoded)

    return prepare


def _through(
    logic: PartitionLogic, records: list[Record], now: Callable[[Sequence[Record]], int]
) -> Work:
    def run(part: list[Record]) -> None:
        for batch in _batches(part):
            logic.process(batch, now(batch))

    warm, measured = _halves(records)
    run(warm)
    return Work(len(measured), lambda: run(measured))


def _repeated(call: Callable[[Any], object], values: list[Any]) -> Work:
    def run() -> None:
        for _ in range(CODEC_ROUNDS):
            for value in values:
                call(value)

    return Work(CODEC_ROUNDS * len(values), run)


def _record(topic: str, event: msgspec.Struct) -> Record:
    name = topics.SCHEMA_OF[topic]
    return Record(topic, 0, 0, 0, b"key", _encoder(name).encode(event))


@cache
def _encoder(name: str) -> Encoder:
    return Encoder(name, "topic", SCHEMAS)


def _examples(name: str) -> list[Any]:
    of_schema = [topic for topic, schema in topics.SCHEMA_OF.items() if schema == name]
    paths = chain.from_iterable(sorted((EXAMPLES / topic).glob("*.json")) for topic in of_schema)
    told = [_timed(msgspec.json.decode(path.read_bytes())) for path in paths]
    return [from_json_object(name, value) for value in told]


def _timed(value: Any) -> Any:
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT\d\d:", value):
        return parse_time(value)
    if isinstance(value, dict):
        return {key: _timed(item) for key, item in value.items()}
    return [_timed(item) for item in value] if isinstance(value, list) else value


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _halves(items: list[Any]) -> tuple[list[Any], list[Any]]:
    middle = int(len(items) * WARM_SHARE)
    return items[:middle], items[middle:]


GUARDED: dict[str, Scenario] = {
    "reference": reference,
    "fold": fold,
    "identify": identify,
    "lifecycle": lifecycle,
    **{f"encode {name}": encoding(name) for name in dict.fromkeys(topics.SCHEMA_OF.values())},
    **{f"decode {name}": decoding(name) for name in dict.fromkeys(topics.SCHEMA_OF.values())},
}


def _with_each_event(extra: Callable[[LeadRecord], object]) -> None:
    def slower(record: LeadRecord, events: list[LeadEvent], *rest: Any) -> list[Saying]:
        for _ in events:
            extra(record)
        return absorb(record, events, *rest)

    lead_module.absorb = slower


def _copies() -> None:
    _with_each_event(lambda record: decode_record(encode_record(record)))


def _evaluates() -> None:
    expression = Checker().compile('score.total >= 60 && fit.grade <= "B"')
    _with_each_event(lambda _: expression.evaluate(NOBODY))


def _encodes_twice() -> None:
    encode = Encoder.encode

    def twice(self: Encoder, value: msgspec.Struct) -> bytes:
        encode(self, value)
        return encode(self, value)

    Encoder.encode = twice  # type: ignore[method-assign]


PLANTED: dict[str, tuple[str, Callable[[], None]]] = {
    "a deep copy per event": ("fold", _copies),
    "a CEL evaluation per event": ("fold", _evaluates),
    "an encoding per accepted event": ("identify", _encodes_twice),
}
"""Slow changes that the guard must see: in which scenario, and what makes them."""


def planted(name: str) -> Scenario:
    def prepare() -> Work:
        scenario, plant = PLANTED[name]
        plant()
        return GUARDED[scenario]()

    return prepare


def main() -> None:
    """Measure the scenarios that are named; print of each its two processes and its units."""
    shipped(), lead_events()
    for name in sys.argv[1:]:
        scenario = GUARDED[name] if name in GUARDED else planted(name)
        if _forked(lambda of=scenario, name=name: _measure(name, of()))[1] != 0:
            sys.exit(f"scenario {name!r} failed")


def _measure(name: str, work: Work) -> None:
    gc.collect()
    gc.freeze()
    idle, _ = _forked(lambda: None)
    busy, status = _forked(work.run)
    if status:
        raise RuntimeError("the work failed")
    sys.stdout.write(f"{name}\t{idle}\t{busy}\t{work.units}\n")
    sys.stdout.flush()


def _forked(run: Callable[[], object]) -> tuple[int, int]:
    """Run in a fork, which then ends at once; return its process id and its exit status."""
    process = os.fork()
    if process:
        return os.waitpid(process, 0)
    status = 1
    try:
        run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
