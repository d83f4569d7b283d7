"""Both stages in memory, over several partitions, in any interleaving and with restarts."""

from __future__ import annotations

import json
from collections import defaultdict
from random import Random
from typing import Any
from zlib import crc32

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.engine.processor import BatchResult, Output, PartitionLogic, Record
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.lifecycle.stage import LifecycleStage

SCHEMAS = SingleObject()
ENCODERS = {t: Encoder(topics.SCHEMA_OF[t], t, SCHEMAS) for t in topics.INPUTS}
DECODERS = {
    topic: Decoder(topics.SCHEMA_OF[topic], SCHEMAS)
    for topic in (
        topics.LEAD_TRANSITIONS,
        topics.LEAD_SLA,
        topics.LEAD_LEAKS,
        topics.LEAD_STATE,
        topics.LEAD_ACCOUNTS,
    )
}


class Pipeline:
    """`lead.events` of so many partitions, and a lifecycle partition for each.

    Attributes:
        said: decisions in the order in which each partition said them.
        states: the last state of each lead; `accounts`: of each account.
        outputs: records that the lifecycle wrote to `lead.events` itself.
    """

    def __init__(self, models: ModelSet, partitions: int, random: Random, **settings: Any) -> None:
        asked = {"lateness_horizon_days": 365, "identity_joins": True, **settings}
        given = Settings(clock="event", **asked)
        self._identify = IdentifyStage(given, SCHEMAS)
        self._stage = LifecycleStage(given, models, SCHEMAS)
        self._random = random
        self._log: list[list[Record]] = [[] for _ in range(partitions)]
        self._read = [0] * partitions
        self._logics: list[PartitionLogic] = [self._stage.open(n) for n in range(partitions)]
        self._stores: defaultdict[int, dict[bytes, bytes | None]] = defaultdict(dict)
        self.said: list[Any] = []
        self.states: dict[str, Any] = {}
        self.accounts: dict[str, Any] = {}
        self.outputs = 0

    def run(self, log: list[Touchpoint | CrmEvent], until: int) -> None:
        """Take a log in its order, in any interleaving, until nothing is left; then its clock."""
        waiting = list(log)
        logic = self._identify.open(0)
        while waiting or self._is_behind():
            if waiting and (self._random.random() < 0.4 or not self._is_behind()):
                size = self._random.randint(1, 4)
                batch, waiting = waiting[:size], waiting[size:]
                self._append(logic.process([_record_of(event) for event in batch], 0))
            else:
                self._step(self._random.choice(self._behind()))
        for number in range(len(self._log)):
            value = json.dumps({"clock": until}).encode()
            record = Record(topics.LEAD_EVENTS, number, 0, until, b"", value, (CONTROL_CLOCK,))
            self._log[number].append(record)
        while self._is_behind():
            self._step(self._behind()[0])

    def stores(self) -> list[dict[bytes, bytes | None]]:
        """Return what each partition keeps."""
        return list(self._stores.values())

    def restart(self, number: int) -> None:
        """Let a partition come back with what is in its store, in any order."""
        logic = self._stage.open(number)
        items = list(self._stores[number].items())
        self._random.shuffle(items)
        for key, value in items:
            logic.restore(key, value)
        self._logics[number] = logic

    def _behind(self) -> list[int]:
        return [n for n, log in enumerate(self._log) if self._read[n] < len(log)]

    def _is_behind(self) -> bool:
        return bool(self._behind())

    def _step(self, number: int) -> None:
        start = self._read[number]
        end = min(len(self._log[number]), start + self._random.randint(1, 5))
        result = self._logics[number].process(self._log[number][start:end], 0)
        self._read[number] = end
        self._stores[number].update(result.store)
        self._append(result)
        for output in result.outputs:
            if output.topic == topics.LEAD_ACCOUNTS:
                self._hear_of_account(output)
            elif output.value is None:
                self._forget(output)
            elif output.topic == topics.LEAD_STATE:
                state = DECODERS[output.topic].decode(output.value)
                self.states[state.lead_id] = state
            elif output.topic in DECODERS:
                self.said.append(DECODERS[output.topic].decode(output.value))
        if self._random.random() < 0.2:
            self.restart(number)

    def _hear_of_account(self, output: Output) -> None:
        account = (output.key or b"").decode()
        if output.value is None:
            self.accounts.pop(account, None)
            return
        self.accounts[account] = DECODERS[output.topic].decode(output.value)
        assert self.accounts[account].account == account

    def _forget(self, output: Output) -> None:
        lead_id = (output.key or b"").decode()
        if output.topic == topics.LEAD_STATE:
            self.states.pop(lead_id, None)
            self.said = [told for told in self.said if told.lead_id != lead_id]

    def _append(self, result: BatchResult) -> None:
        assert result.dead_letters == []
        for output in result.outputs:
            if output.topic == topics.LEAD_EVENTS:
                assert output.key is not None
                number = crc32(output.key) % len(self._log)
                self._log[number].append(
                    Record(
                        topics.LEAD_EVENTS, number, len(self._log[number]), 0, output.key,
                        output.value, output.headers,
                    )
                )  # fmt: skip
                self.outputs += 1


def _record_of(event: Touchpoint | CrmEvent) -> Record:
    topic = topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS
    return Record(topic, 0, 0, event.event_time, b"k", ENCODERS[topic].encode(event))
