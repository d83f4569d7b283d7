"""Kafka on paper: what was committed in each transaction, and the logs and stores that it made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from producer_stand_in import ProducerStandIn, SentRecord

from leadstream.streams.engine.positions import META_KEY, Meta, decode_meta
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.restore import Restored

Store = dict[bytes, bytes | None]


class Ledger(ProducerStandIn):
    """A producer whose committed transactions can be looked up; `reader` stands in for StoreReader.

    Attributes:
        transactions: topic, partition and record of all that each committed one holds.
        logs: the records of each topic and partition.
    """

    def __init__(self) -> None:
        self.transactions: list[list[tuple[str, int, SentRecord]]] = []
        self.logs: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        self.stores: defaultdict[tuple[str, int], Store] = defaultdict(dict)
        self._pending: list[tuple[str, int, SentRecord]] = []

    async def begin_transaction(self) -> None:
        self._pending = []

    def sent(self, topic: str, partition: int, record: SentRecord) -> None:
        self._pending.append((topic, partition, record))

    async def commit_transaction(self) -> None:
        self.transactions.append(self._pending)
        for topic, partition, (key, value, headers, at_ms) in self._pending:
            if topic.endswith(".store"):
                self.stores[topic, partition][key or b""] = value
            else:
                log = self.logs[topic, partition]
                log.append(Record(topic, partition, len(log), at_ms, key, value, headers))

    def records(self, topic: str) -> list[SentRecord]:
        """Return what was committed to a topic, in order, whatever the partition."""
        return [record for said in self.transactions for name, _, record in said if name == topic]

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.records(topic)]

    def meta(self, store: str, number: int) -> Meta:
        return decode_meta(self.stores[store, number].get(META_KEY), "test")

    def reader(self, settings: Any, topic: str, number: int) -> StoreOnPaper:
        return StoreOnPaper(self.stores[topic, number])


@dataclass(frozen=True)
class StoreOnPaper:
    """Reads a store of a ledger as a StoreReader would."""

    store: Store

    async def __aenter__(self) -> StoreOnPaper:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self, take: Callable[..., None], tell: Any, *, is_fenced: bool) -> Restored:
        for key, value in self.store.items():
            if key != META_KEY:
                take(key, value)
        return Restored(len(self.store), decode_meta(self.store.get(META_KEY), "test"))
