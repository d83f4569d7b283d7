"""The lifecycle stage: folds `lead.events` into states, transitions and SLA events.

All partitions of a worker judge by one set of versions; a new set is taken between batches.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LATEST_MS, EpochMs, LeadEvent
from leadstream.schemas.headers import CONTROL_CLOCK, CONTROL_LINK, CONTROL_MERGE
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.streams.domain.compiled import (
    CompiledModel,
    ModelSet,
    refuse_reading_accounts,
)
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.erasure import erase, erases, erasure_of
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.kept import Standing
from leadstream.streams.domain.lead import (
    Change,
    LeadRecord,
    Limits,
    Saying,
    absorb,
    decode_record,
    encode_record,
    new_record,
)
from leadstream.streams.domain.link_records import AccountLink, Link
from leadstream.streams.domain.reasons import OPTED_OUT
from leadstream.streams.domain.scoring import forget_attributes
from leadstream.streams.domain.settling import PAST_MAX_EVENTS
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.view import view
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.lifecycle.accounts import (
    Accounts,
    account_in,
    account_link_of,
    say_forgotten,
    say_standing,
)
from leadstream.streams.lifecycle.identities import Identities, forget_past
from leadstream.streams.lifecycle.joins import Joins, link_of, merge_of, say_link
from leadstream.streams.lifecycle.lateness import Lateness
from leadstream.streams.lifecycle.records import Judges, LeadRecords
from leadstream.streams.lifecycle.shadow import SHADOW_KEY, Shadow, ShadowPartition
from leadstream.streams.model_watch import ModelWatch
from leadstream.streams.models import load_models

CLOCK_KEY: Final = b"\x00clock"
OWN_KEYS: Final = (b"\x00", b"\x01")
"""Begin the store keys that are no leads'; so no lead id may begin with them."""
ASKED_AGAIN_MAX = 500
"""Leads that are asked under new versions before each batch, so that no batch waits for long."""
NO_ACCOUNTS_YET: Final = (
    "the model has accounts, and store_format 1 is for workers of release 0.1 in the same group, "
    "which take what accounts are told for broken events: leave `accounts` out until they are gone"
)
START_ANEW: Final = (
    "the model has accounts now, and had none when this worker started: run `leadstream topics "
    "apply`, then start the workers anew"
)
_WITHOUT_ACCOUNTS: Final = tuple(topic for topic in topics.OUTPUTS if topic != topics.LEAD_ACCOUNTS)
_CLOCK: Final = struct.Struct(">q")
_TOPIC_OF: Final = {SlaEvent: topics.LEAD_SLA, LeakEvent: topics.LEAD_LEAKS}
_ROUTED: Final = {Stage.MQL.value: topics.LEAD_MQL, Stage.SALES_QUALIFIED.value: topics.LEAD_SQL}


class LifecycleStage:
    """Opens one logic a partition; all share the models, the decoder and the encoders."""

    name = "lifecycle"
    inputs = (topics.LEAD_EVENTS,)
    store = topics.LIFECYCLE_STORE

    def __init__(
        self,
        settings: Settings,
        models: ModelSet,
        schemas: WriterSchemas,
        candidate: CompiledModel | None = None,
    ) -> None:
        self.store_format = settings.store_format
        # An installation has the topic of accounts only from a later release on.
        self.outputs = topics.OUTPUTS if models.has_accounts else _WITHOUT_ACCOUNTS
        self.take(models)
        self.watch = ModelWatch(settings.model_path, models) if settings.model_path else None
        self.limits = limits_of(settings)
        self.follows_wall_clock = settings.clock == "wall"
        self.decoder = Decoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], schemas)
        self.encoders = {
            topic: Encoder(topics.SCHEMA_OF[topic], settings.topics.full(topic), schemas)
            for topic in self.outputs
        }
        self.shadow = (
            Shadow(candidate, self.limits, self.encoders[topics.LEAD_SHADOW]) if candidate else None
        )

    def take(self, models: ModelSet) -> None:
        """Judge by these versions from the next batch on; only from the thread of the batches.

        Raises:
            ModelError: they have accounts, for which the worker did not start, or which workers of
                release 0.1 in its group know nothing of.
        """
        if models.has_accounts:
            if self.store_format == 1:
                raise ModelError([NO_ACCOUNTS_YET])
            if topics.LEAD_ACCOUNTS not in self.outputs:
                raise ModelError([START_ANEW])
        self.judges = Judges(models)

    def open(self, partition: int) -> PartitionLogic:
        return LifecyclePartition(self)


def lifecycle_stage(settings: Settings, schemas: WriterSchemas) -> LifecycleStage:
    """Return the stage as the settings ask for it.

    Raises:
        SettingsError: a model cannot be used; the message names each fault.
    """
    models = _load("model_path", settings.model_path)
    path = settings.shadow_model_path
    if path is None:
        return _stage("model_path", settings, models, schemas)
    candidates = _load("shadow_model_path", path).versions
    if len(candidates) > 1:
        found = ", ".join(model.version for model in candidates)
        raise SettingsError(
            f"setting shadow_model_path: {path} has several versions ({found}): name one file"
        )
    try:
        refuse_reading_accounts(
            ModelSet(candidates),
            "in the shadow each lead is followed alone",
            "try it on a log with `leadstream replay --processes 1 --model`",
        )
    except ModelError as error:
        raise SettingsError(f"setting shadow_model_path: {error}") from None
    return _stage("model_path", settings, models, schemas, candidates[0])


def _stage(
    setting: str,
    settings: Settings,
    models: ModelSet,
    schemas: WriterSchemas,
    candidate: CompiledModel | None = None,
) -> LifecycleStage:
    try:
        return LifecycleStage(settings, models, schemas, candidate)
    except ModelError as error:
        raise SettingsError(f"setting {setting}: {error}") from None


def _load(setting: str, path: Path | None) -> ModelSet:
    try:
        return load_models(path)
    except ModelError as error:
        raise SettingsError(f"setting {setting}: {error}") from None


def limits_of(settings: Settings) -> Limits:
    """Return how much of a lead stays insertable, and is kept of what has settled."""
    return Limits(
        horizon_ms=int(settings.lateness_horizon_days * MS_PER_DAY),
        tail_min_events=settings.tail_min_events,
        tail_max_events=settings.tail_max_events,
        tail_max_bytes=settings.tail_max_bytes,
        past_max_events=PAST_MAX_EVENTS if settings.is_joining else 0,
    )


class LifecyclePartition:
    """All leads of one partition of `lead.events`."""

    def __init__(self, stage: LifecycleStage) -> None:
        self._stage = stage
        self._records = LeadRecords(stage.store_format)
        self._identities = Identities()
        self._joins = Joins(self._identities)
        self._accounts = Accounts()
        self._shadow = ShadowPartition(stage.shadow, stage.store_format)
        self._clock: EpochMs = 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        if key == CLOCK_KEY:
            self._clock = _CLOCK.unpack(value or _CLOCK.pack(0))[0]
        elif key.startswith(SHADOW_KEY):
            self._shadow.restore(key.removeprefix(SHADOW_KEY), value)
        elif not (self._accounts.restore(key, value) or self._identities.restore(key, value)):
            self._records.restore(key, value)

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        judges = self._stage.judges
        result.store.update(self._records.ask_again(judges, ASKED_AGAIN_MAX))
        links: dict[bytes, list[Link]] = {}
        of_accounts: dict[bytes, list[AccountLink]] = {}
        by_lead = self._by_lead(records, links, of_accounts, result)
        now = now_ms if self._stage.follows_wall_clock else self._clock
        late = Lateness()
        due = dict.fromkeys(self._records.take_due(now))
        for key in due:
            by_lead.setdefault(key, [])
        for key, heard in links.items():
            if key in by_lead or key in self._records or not self._joins.note(key, heard, result):
                by_lead.setdefault(key, [])
        for key, events in by_lead.items():
            lead = self._records.load(key, judges) or new_record(key.decode())
            revision = lead.revision
            late.look_at(lead, events)
            joining = self._joins.hear(key, lead, events, links.get(key, ()), result)
            if lead.erased_at > -NEVER_MS or erases(events):
                self._erase(key, lead, events, result)
            history = _copy(lead) if self._shadow.needs_history(key) else None
            self._fold(key, lead, revision, events, judges, now, result, is_due=key in due)
            if joining is not None:
                self._joins.give(key, lead, events, joining, result)
            self._shadow.fold(key, history, events, joining, now, now_ms, result)
        for key in self._shadow.take_due(now):
            self._shadow.fold(key, None, (), None, now, now_ms, result)
        for account, said in of_accounts.items():
            self._hear_of_leads(account, said, judges, result)
        late.publish(self._stage.name)
        return result

    def _hear_of_leads(
        self, account: bytes, said: list[AccountLink], judges: Judges, result: BatchResult
    ) -> None:
        encoder = self._stage.encoders[topics.LEAD_ACCOUNTS]
        for state in self._accounts.hear(account, said, judges.models, result):
            value = None if state is None else encoder.encode(state)
            result.outputs.append(Output(topics.LEAD_ACCOUNTS, account, value))

    def _by_lead(
        self,
        records: Sequence[Record],
        links: dict[bytes, list[Link]],
        of_accounts: dict[bytes, list[AccountLink]],
        result: BatchResult,
    ) -> dict[bytes, list[LeadEvent]]:
        """Return the events of a batch by lead; what is none becomes a dead letter.

        Args:
            links: gets what is said of identities, by lead.
            of_accounts: gets how leads stand, by account.
        """
        by_lead: dict[bytes, list[LeadEvent]] = {}
        decode = self._stage.decoder.decode
        for record in records:
            try:
                if record.headers and self._is_control(record, links, of_accounts, result):
                    continue
                event: LeadEvent | None = record.content
                if event is None:
                    event = decode(record.value)
                if event.touchpoint is None and event.crm is None:
                    raise DecodeError("no_event", "holds neither a touchpoint nor a CRM event")
                lead_id: str = event.lead_id
                key = lead_id.encode()
                if key[:1] in OWN_KEYS:
                    raise DecodeError("bad_lead_id", f"lead id {lead_id!r} is not printable")
            except DecodeError as error:
                result.dead_letters.append(DeadLetter(record, error.kind, str(error)))
                continue
            events = by_lead.get(key)
            if events is None:
                by_lead[key] = [event]
            else:
                events.append(event)
        return by_lead

    def _is_control(
        self,
        record: Record,
        links: dict[bytes, list[Link]],
        of_accounts: dict[bytes, list[AccountLink]],
        result: BatchResult,
    ) -> bool:
        """Take a record that holds no event; False for every other."""
        clock = clock_of(record)
        if clock is not None:
            self._clock = max(self._clock, clock)
            result.store[CLOCK_KEY] = _CLOCK.pack(self._clock)
            return True
        if CONTROL_MERGE in record.headers:
            news = self._identities.merge(merge_of(record), result)
            for lead_id, rooted in news.items():
                say_link(lead_id, rooted, result)
            return True
        if CONTROL_LINK in record.headers:
            key = record.key or b""
            account = account_in(key)
            if account is None:
                links.setdefault(key, []).append(link_of(record))
            else:
                of_accounts.setdefault(account, []).append(account_link_of(record))
            return True
        return False

    def next_due_ms(self) -> int | None:
        if self._records.is_asking:
            return 0
        if not self._stage.follows_wall_clock:
            return None
        due = min(self._records.next_due(), self._shadow.next_due())
        return due if due < NEVER_MS else None

    def _erase(
        self, key: bytes, record: LeadRecord, events: list[LeadEvent], result: BatchResult
    ) -> None:
        """Let erasures take effect, tell every topic of the lead, and spread them to its other ids.

        A null value is what compacted copies of a topic delete by.
        """
        stood_in = record.head.stood_in
        erasure = erase(record, events)
        if erasure is None:
            return
        if erasure.took:
            self._shadow.erase(key, result)
            forget_attributes()
            result.outputs += [Output(topic, key, None) for topic in topics.TELLING_OF_LEADS]
            result.outputs += say_forgotten(record.lead_id, stood_in)
        encoder = self._stage.encoders[topics.LEAD_EVENTS]
        for other in erasure.others:
            encoded = encoder.encode(erasure_of(other, erasure.at))
            result.outputs.append(Output(topics.LEAD_EVENTS, other.encode(), encoded))

    def _fold(
        self,
        key: bytes,
        record: LeadRecord,
        revision: int,
        events: list[LeadEvent],
        judges: Judges,
        now: EpochMs,
        result: BatchResult,
        *,
        is_due: bool,
    ) -> None:
        sayings = absorb(record, events, judges.models, self._stage.limits, now)
        if record.revision == revision:
            if is_due:
                # It asked to be woken early, or is judged by other versions now; whatever came
                # with it was known, and nobody wakes it again unless it is kept.
                self._keep_past(key, record, result)
                result.store[key] = self._records.keep(key, record, judges, exactly=True)
            return
        for saying in sayings:
            result.outputs += self._outputs_of(key, saying)
        if record.head.event_count or (record.is_joined and record.erased_at == -NEVER_MS):
            encoder = self._stage.encoders[topics.LEAD_STATE]
            links = self._identities.links_of(key)
            encoded_state = encoder.encode(view(record, judges.models, links))
            result.outputs.append(Output(topics.LEAD_STATE, key, encoded_state))
        elif record.is_joined:
            # Else compaction would keep that an erased id was somebody's.
            result.outputs.append(Output(topics.LEAD_STATE, key, None))
        self._keep_past(key, record, result)
        result.store[key] = self._records.keep(key, record, judges)

    def _keep_past(self, key: bytes, record: LeadRecord, result: BatchResult) -> None:
        if self._stage.store_format == 1:
            forget_past(record)
        else:
            self._identities.keep_past(key, record, result)

    def _outputs_of(self, key: bytes, saying: Saying) -> list[Output]:
        decision = saying.decision
        if isinstance(decision, Standing):
            return list(say_standing(saying, decision))
        if not isinstance(decision, Transition):
            topic = _TOPIC_OF[type(decision)]
            return [Output(topic, key, self._stage.encoders[topic].encode(decision))]
        encoded = self._stage.encoders[topics.LEAD_TRANSITIONS].encode(decision)
        outputs = [Output(topics.LEAD_TRANSITIONS, key, encoded)]
        # str() of a stage is its value, whose hash a member of the enum has not.
        routed = _ROUTED.get(str(decision.to_stage))
        # A router is told of a handoff once, and once more if it is taken back; never of details.
        may_route = not decision.inferred and decision.reason != OPTED_OUT
        if routed and may_route and saying.change in (Change.NEW, Change.RETRACTED):
            encoded = self._stage.encoders[routed].encode(decision)
            outputs.append(Output(routed, key, encoded))
        return outputs


def _copy(record: LeadRecord) -> LeadRecord:
    copied = decode_record(encode_record(record))
    copied.tail.extend(record.waiting)
    return copied


def clock_of(record: Record) -> EpochMs | None:
    """Return the instant that a clock record says it is; None for every other record.

    Raises:
        DecodeError: a clock record that cannot be read.
    """
    if CONTROL_CLOCK not in record.headers:
        return None
    try:
        return min(int(json.loads(record.value or b"")["clock"]), LATEST_MS)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise DecodeError("bad_clock", f"clock record {record.value!r} has no clock") from None
