"""The lifecycle stage: folds `lead.events` into states, transitions and SLA events.

Each lead's record is kept as bytes, led by the instant at which it wants to be woken, so that a
restore of many leads need not decode them.
"""

from __future__ import annotations

import heapq
import json
import struct
from collections.abc import Sequence

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LATEST_MS, EpochMs, LeadEvent
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.lead import (
    Change,
    Limits,
    Saying,
    absorb,
    decode_record,
    encode_record,
    new_record,
    view,
)
from leadstream.streams.domain.lifecycle import next_due
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.models import load_models

CLOCK_KEY = b"\x00clock"
_DUE = struct.Struct(">q")
_TOPIC_OF = {SlaEvent: topics.LEAD_SLA, LeakEvent: topics.LEAD_LEAKS}
_ROUTED = {Stage.MQL: topics.LEAD_MQL, Stage.SALES_QUALIFIED: topics.LEAD_SQL}


class LifecycleStage:
    """Opens one logic a partition; all share the models, the decoder and the encoders."""

    name = "lifecycle"
    inputs = (topics.LEAD_EVENTS,)
    outputs = (
        topics.LEAD_TRANSITIONS,
        topics.LEAD_MQL,
        topics.LEAD_SQL,
        topics.LEAD_SLA,
        topics.LEAD_LEAKS,
        topics.LEAD_STATE,
    )
    store = topics.LIFECYCLE_STORE

    def __init__(self, settings: Settings, models: ModelSet, schemas: WriterSchemas) -> None:
        self.models = models
        self.limits = limits_of(settings)
        self.follows_wall_clock = settings.clock == "wall"
        self.decoder = Decoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], schemas)
        self.encoders = {
            topic: Encoder(topics.SCHEMA_OF[topic], settings.topics.full(topic), schemas)
            for topic in self.outputs
        }

    def open(self, partition: int) -> PartitionLogic:
        return LifecyclePartition(self)


def lifecycle_stage(settings: Settings, schemas: WriterSchemas) -> LifecycleStage:
    """Return the stage as the settings ask for it.

    Raises:
        SettingsError: the model cannot be used; the message names each fault.
    """
    try:
        models = load_models(settings.model_path)
    except ModelError as error:
        raise SettingsError(f"setting model_path: {error}") from None
    return LifecycleStage(settings, models, schemas)


def limits_of(settings: Settings) -> Limits:
    """Return how much of a lead stays insertable."""
    return Limits(
        horizon_ms=int(settings.lateness_horizon_days * MS_PER_DAY),
        tail_min_events=settings.tail_min_events,
        tail_max_events=settings.tail_max_events,
    )


class LifecyclePartition:
    """All leads of one partition of `lead.events`."""

    def __init__(self, stage: LifecycleStage) -> None:
        self._stage = stage
        self._records: dict[bytes, bytes] = {}
        self._due: list[tuple[EpochMs, bytes]] = []
        self._clock: EpochMs = 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        if key == CLOCK_KEY:
            self._clock = _DUE.unpack(value or _DUE.pack(0))[0]
        elif value is None:
            self._records.pop(key, None)
        else:
            self._keep(key, value)

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        by_lead: dict[bytes, list[LeadEvent]] = {}
        for record in records:
            try:
                clock = clock_of(record)
                if clock is not None:
                    self._clock = max(self._clock, clock)
                    result.store[CLOCK_KEY] = _DUE.pack(self._clock)
                    continue
                event = self._stage.decoder.decode(record.value)
                if event.touchpoint is None and event.crm is None:
                    raise DecodeError("no_event", "holds neither a touchpoint nor a CRM event")
            except DecodeError as error:
                result.dead_letters.append(DeadLetter(record, error.kind, str(error)))
                continue
            by_lead.setdefault(event.lead_id.encode(), []).append(event)
        now = now_ms if self._stage.follows_wall_clock else self._clock
        for key in self._take_due(now):
            by_lead.setdefault(key, [])
        for key, events in by_lead.items():
            self._fold(key, events, now, result)
        return result

    def next_due_ms(self) -> int | None:
        if not self._stage.follows_wall_clock:
            return None
        while self._due and not self._is_current(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def _fold(self, key: bytes, events: list[LeadEvent], now: EpochMs, result: BatchResult) -> None:
        stored = self._records.get(key)
        record = new_record(key.decode()) if stored is None else decode_record(stored[_DUE.size :])
        revision = record.revision
        sayings = absorb(record, events, self._stage.models, self._stage.limits, now)
        if record.revision == revision:
            return
        for saying in sayings:
            result.outputs += self._outputs_of(key, saying)
        state = view(record, self._stage.models)
        encoded_state = self._stage.encoders[topics.LEAD_STATE].encode(state)
        result.outputs.append(Output(topics.LEAD_STATE, key, encoded_state))
        due = next_due(record.head, self._stage.models)
        value = _DUE.pack(due) + encode_record(record)
        self._keep(key, value)
        result.store[key] = value

    def _outputs_of(self, key: bytes, saying: Saying) -> list[Output]:
        decision = saying.decision
        if not isinstance(decision, Transition):
            topic = _TOPIC_OF[type(decision)]
            return [Output(topic, key, self._stage.encoders[topic].encode(decision))]
        encoded = self._stage.encoders[topics.LEAD_TRANSITIONS].encode(decision)
        outputs = [Output(topics.LEAD_TRANSITIONS, key, encoded)]
        routed = _ROUTED.get(Stage(decision.to_stage))
        # A router is told of a handoff once, and once more if it is taken back; never of details.
        if routed and not decision.inferred and saying.change in (Change.NEW, Change.RETRACTED):
            encoded = self._stage.encoders[routed].encode(decision)
            outputs.append(Output(routed, key, encoded))
        return outputs

    def _keep(self, key: bytes, value: bytes) -> None:
        before = self._records.get(key)
        self._records[key] = value
        due = _DUE.unpack_from(value)[0]
        if due < NEVER_MS and (before is None or _DUE.unpack_from(before)[0] != due):
            heapq.heappush(self._due, (due, key))

    def _take_due(self, now: EpochMs) -> list[bytes]:
        taken = []
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)
            if self._is_current(entry):
                taken.append(entry[1])
        return list(dict.fromkeys(taken))

    def _is_current(self, entry: tuple[EpochMs, bytes]) -> bool:
        value = self._records.get(entry[1])
        return value is not None and _DUE.unpack_from(value)[0] == entry[0]


def clock_of(record: Record) -> EpochMs | None:
    """Return the instant that a clock record says it is; None for every other record.

    Raises:
        DecodeError: a clock record that cannot be read.
    """
    if not any(header == topics.CONTROL_CLOCK for header in record.headers):
        return None
    try:
        return min(int(json.loads(record.value or b"")["clock"]), LATEST_MS)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise DecodeError("bad_clock", f"clock record {record.value!r} has no clock") from None
