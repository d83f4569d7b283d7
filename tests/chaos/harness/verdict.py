"""The verdict: topics and tables against a replay of the very log that lies on the input topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from effective import content, latest_states

from leadstream.schemas import headers, topics
from leadstream.schemas.codec import DecodeError, Decoder
from leadstream.schemas.decisions import RETRACTED, LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LeadEvent, corrected_time
from leadstream.schemas.registry import writer_schemas
from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.identify.rules import resolver_of
from leadstream.streams.lifecycle.stage import limits_of
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

from .differences import Difference, compare
from .log import END_MS
from .sender import Sent
from .tables import compare_tables
from .topics_read import open_transactions, read

Place = tuple[str, int, int]

_KINDS = {
    topics.LEAD_TRANSITIONS: Transition,
    topics.LEAD_SLA: SlaEvent,
    topics.LEAD_LEAKS: LeakEvent,
}


@dataclass
class Verdict:
    """Every comparison, and figures of what was compared."""

    differences: list[Difference] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    transitions: dict[str, int] = field(default_factory=dict)
    poison: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.hanging and all(d.is_clean for d in self.differences)

    def total(self, what: str) -> int:
        """Return the sum of `lost`, `doubled` or `wrong` over all comparisons."""
        return sum(int(getattr(d, what)) for d in self.differences)


@dataclass
class _Expected:
    accepted: list[LeadEvent]
    decisions: list[Any]
    states: list[Any]
    dead: dict[Place, tuple[bytes | None, bytes | None]]


def judge(
    settings: Settings,
    sent: list[Sent],
    directory: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Compare everything; the workers and sinks have stopped, ClickHouse answers."""
    verdict = Verdict()
    say("reading the input topics")
    log = list(chain.from_iterable(read(settings, topic) for topic in topics.INPUTS))
    unplaced = sum(1 for s in sent if s.offset is None)
    sent = find_places(
        sent, [((m.topic(), m.partition(), m.offset()), (m.key(), m.value())) for m in log]
    )
    verdict.differences.append(_input_log(sent, log))
    verdict.hanging = open_transactions(settings, topics.ALL)
    say(f"replaying {len(log)} records")
    expected = _replayed(settings, log)
    say("comparing the topics")
    verdict.differences += _topics(settings, expected, verdict)
    verdict.differences += _dead_letters(settings, sent, expected)
    say("comparing the tables")
    verdict.differences += _tables(settings, expected, sent, directory)
    verdict.figures |= {
        "input records": len(log),
        "acknowledged without an offset": unplaced,
        "poison records": sum(1 for s in sent if s.record.poison),
        "accepted events": len(expected.accepted),
        "decisions that hold": len(expected.decisions),
        "leads": len(expected.states),
    }
    verdict.poison = dict(Counter(s.record.poison for s in sent if s.record.poison))
    verdict.transitions = dict(
        Counter(
            d.to_stage if isinstance(d, Transition) else f"{_kind_of(d)} {d.event}"
            for d in expected.decisions
        )
    )
    return verdict


def find_places(
    sent: list[Sent], log: list[tuple[Place, tuple[bytes | None, bytes | None]]]
) -> list[Sent]:
    """Return what was sent, where an offset is unknown with that of a record nobody else claims."""
    if all(s.offset is not None for s in sent):
        return sent
    claimed = {(s.topic, s.partition, s.offset) for s in sent}
    free: dict[Any, list[int]] = {}
    for (topic, partition, offset), said in log:
        if (topic, partition, offset) not in claimed:
            free.setdefault((topic, partition, said), []).append(offset)
    found = []
    for s in sent:
        offsets = free.get((s.topic, s.partition, (s.record.key, s.record.value)))
        if s.offset is None and offsets:
            found.append(replace(s, offset=offsets.pop(0)))
        else:
            found.append(s)
    return found


def _kind_of(decision: Any) -> str:
    return "SLA" if isinstance(decision, SlaEvent) else "leak"


def _input_log(sent: list[Sent], log: list[Any]) -> Difference:
    return compare(
        "input topics",
        (((s.topic, s.partition, s.offset), (s.record.key, s.record.value)) for s in sent),
        (((m.topic(), m.partition(), m.offset()), (m.key(), m.value())) for m in log),
    )


def _replayed(settings: Settings, log: list[Any]) -> _Expected:
    """Fold the log in the order in which the events happened."""
    schemas = writer_schemas(settings)
    decoders = {
        settings.topics.full(t): Decoder(topics.SCHEMA_OF[t], schemas) for t in topics.INPUTS
    }
    dead: dict[Place, tuple[bytes | None, bytes | None]] = {}
    events = []
    for message in log:
        place = (message.topic(), message.partition(), message.offset())
        try:
            event = decoders[message.topic()].decode(message.value())
            events.append((corrected_time(event), event.event_id, place, event, message))
        except DecodeError:
            dead[place] = (message.key(), message.value())
    events.sort(key=lambda entry: entry[:3])
    run = Replay(load_models(settings.model_path), limits_of(settings), resolver_of(settings))
    accepted: list[LeadEvent] = []
    for _, _, place, event, message in events:
        try:
            lead_events, _ = run.feed(event, topic=settings.topics.bare(place[0]), offset=place[2])
        except DecodeError:
            dead[place] = (message.key(), message.value())
            continue
        accepted += [_placed(e, place[1]) for e in lead_events]
    run.finish(END_MS)
    return _Expected(accepted, run.effective.decisions(), list(run.states()), dead)


def _placed(event: LeadEvent, partition: int) -> LeadEvent:
    return msgspec.structs.replace(event, source_partition=partition)


def _topics(settings: Settings, expected: _Expected, verdict: Verdict) -> list[Difference]:
    schemas = writer_schemas(settings)

    def decoded(bare: str) -> list[Any]:
        decoder = Decoder(topics.SCHEMA_OF[bare], schemas)
        return [
            decoder.decode(m.value())
            for m in read(settings, bare)
            if not set(headers.CONTROLS) & set(m.headers() or ())
        ]

    found = []
    events = decoded(topics.LEAD_EVENTS)
    bare = settings.topics.bare
    found.append(
        compare(
            topics.LEAD_EVENTS,
            ((_source(e, bare), (e.touchpoint, e.crm)) for e in expected.accepted),
            ((_source(e, bare), (e.touchpoint, e.crm)) for e in events),
        )
    )
    for topic, kind in _KINDS.items():
        decisions = decoded(topic)
        held = [d for d in expected.decisions if isinstance(d, kind)]
        found.append(compare(topic, ((d.id, content(d)) for d in held), _holds(decisions)))
        found.append(_said_once(topic, ((d.id, d.revision) for d in decisions)))
        verdict.figures[f"records on {topic}"] = len(decisions)
    for topic, stage in ((topics.LEAD_MQL, "mql"), (topics.LEAD_SQL, "sql")):
        handoffs = decoded(topic)
        must = [
            d.id
            for d in expected.decisions
            if isinstance(d, Transition) and d.to_stage == stage and not d.inferred
        ]
        found.append(
            compare(topic, ((i, "") for i in must), ((i, "") for i, _ in _holds(handoffs)))
        )
        found.append(_said_once(topic, ((d.id, d.revision) for d in handoffs)))
        verdict.figures[f"records on {topic}"] = len(handoffs)
    states = decoded(topics.LEAD_STATE)
    found.append(
        compare(
            topics.LEAD_STATE,
            latest_states(expected.states).items(),
            latest_states(states).items(),
        )
    )
    return found


def _source(event: LeadEvent, bare: Callable[[str], str]) -> tuple[str, int, int, str]:
    topic = bare(event.source_topic)
    return (topic, event.source_partition, event.source_offset, event.lead_id)


def _holds(decisions: Iterable[Any]) -> list[tuple[str, Any]]:
    latest: dict[str, Any] = {}
    for decision in decisions:
        known = latest.get(decision.id)
        if known is None or decision.revision > known.revision:
            latest[decision.id] = decision
    return [(d.id, content(d)) for d in latest.values() if d.status != RETRACTED]


def _said_once(topic: str, keys: Iterable[tuple[Any, ...]]) -> Difference:
    result = Difference(f"{topic}, as said")
    for key, times in Counter(keys).items():
        result.expected += 1
        result.found += times
        result.doubled += times - 1
        if times > 1:
            result.sample(f"{key} was said {times} times")
    return result


def _dead_letters(settings: Settings, sent: list[Sent], expected: _Expected) -> list[Difference]:
    poison = {
        (s.topic, s.partition, s.offset): (s.record.key, s.record.value)
        for s in sent
        if s.record.poison
    }
    letters = []
    for topic in topics.DEAD_LETTERS:
        for message in read(settings, topic):
            said = dict(message.headers())
            place = (
                settings.topics.full(settings.topics.bare(said[headers.DEAD_TOPIC].decode())),
                int(said[headers.DEAD_PARTITION]),
                int(said[headers.DEAD_OFFSET]),
            )
            value = None if headers.DEAD_NULL_VALUE in said else message.value()
            letters.append((place, (said.get(headers.DEAD_KEY), value)))
    return [
        compare("poison, as replay sees it", poison.items(), expected.dead.items()),
        compare("dead-letter topics", poison.items(), letters),
    ]


def _tables(
    settings: Settings, expected: _Expected, sent: list[Sent], directory: Path
) -> list[Difference]:
    offline = load_settings(data_dir=directory / "replayed")
    with ClickHouse(offline) as replayed:
        migrate(replayed)
        load(replayed, chain(expected.accepted, expected.decisions, expected.states))
        with ClickHouse(settings, read_only=True) as live:
            live.require_database()
            replayed.require_database()
            found = compare_tables(replayed, live)
            poison = {
                (settings.topics.bare(s.topic), s.partition, s.offset): (
                    s.record.key or b"",
                    s.record.value or b"",
                )
                for s in sent
                if s.record.poison
            }
            found.append(_dead_table(live, settings, poison))
    return found


def _dead_table(live: ClickHouse, settings: Settings, poison: dict[Any, Any]) -> Difference:
    rows = live.query(
        "SELECT source_topic, source_partition, source_offset, hex(key), hex(value) "
        f"FROM {live.table('dead_letters')} FINAL"
    ).rows
    return compare(
        "ClickHouse dead_letters",
        poison.items(),
        (
            (
                (settings.topics.bare(topic), partition, offset),
                (bytes.fromhex(key), bytes.fromhex(value)),
            )
            for topic, partition, offset, key, value in rows
        ),
    )
