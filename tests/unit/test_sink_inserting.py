"""Pieces go into ClickHouse one after the other, each decoded while the one before goes in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from leadstream.sinks import inserting
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.buffer import Piece
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.inserting import Inserter

DEADLINE_S = 30
TP = TopicPartition("t", 0)


class HeldClient:
    """Waits in each insert of rows until it is let go; says in which order things came."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.let_go = threading.Event()
        self.faults: list[ClickHouseError] = []

    def insert(self, table: str, columns: Sequence[str], values: Sequence[Any]) -> None:
        if table == "sink_positions":
            self.said.append(f"position {values[-1][0]}")
            return
        assert self.let_go.wait(DEADLINE_S)
        if self.faults:
            raise self.faults.pop()
        self.said.append(f"rows {values[0][0]}")

    def table(self, name: str) -> str:
        return name

    def query(self, sql: str) -> Any:
        return SimpleNamespace(rows=[])


class Builder:
    """Makes a batch of one row, and says that it did."""

    def __init__(self, client: HeldClient) -> None:
        self._client = client
        self.built = threading.Semaphore(0)

    def build(self, records: Sequence[Any]) -> Any:
        offset = records[0].offset
        self.built.release()
        return SimpleNamespace(
            insert=lambda client: client.insert("touchpoints", ["offset"], [[offset]]),
            row_counts=lambda: {"touchpoints": 1},
        )


def piece(offset: int) -> Piece:
    record = cast(Any, SimpleNamespace(offset=offset, timestamp=offset))
    return Piece([record], {TP: offset}, {TP: offset + 1}, 7)


def opened(client: HeldClient, builder: Builder, told: list[int] | None = None) -> Inserter:
    async def inserted(ends: Mapping[TopicPartition, int]) -> None:
        if told is not None:
            told.extend(ends.values())

    return Inserter(
        cast(ClickHouse, client), cast(BatchBuilder, builder), asyncio.Event(), inserted
    )


def test_the_next_piece_is_decoded_while_one_goes_in_and_positions_follow_their_rows() -> None:
    async def scenario() -> None:
        client, told = HeldClient(), list[int]()
        builder = Builder(client)
        inserter = opened(client, builder, told)
        await inserter.insert(piece(0))
        second = asyncio.create_task(inserter.insert(piece(1)))
        for _ in range(2):
            assert await asyncio.to_thread(builder.built.acquire, timeout=DEADLINE_S)
        assert inserter.busy and not second.done() and not client.said
        assert (inserter.first_offset(TP), inserter.records, inserter.bytes) == (0, 1, 7)
        client.let_go.set()
        await second
        await inserter.settle()
        assert client.said == ["rows 0", "position 1", "rows 1", "position 2"]
        assert told == [1, 2]
        assert inserter.rows == {"touchpoints": 2}
        assert (inserter.first_offset(TP), inserter.records, inserter.bytes) == (None, 0, 0)
        await inserter.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_after_a_fault_that_stays_nothing_more_goes_in() -> None:
    async def scenario() -> None:
        client = HeldClient()
        client.faults = [ClickHouseError("no such table", 60)]
        inserter = opened(client, Builder(client))
        await inserter.insert(piece(0))
        client.let_go.set()
        for wait in (inserter.insert(piece(1)), inserter.settle()):
            with pytest.raises(ClickHouseError, match="no such table"):
                await wait
        with pytest.raises(ClickHouseError, match="no such table"):
            inserter.check()
        assert client.said == []
        await inserter.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_a_fault_that_passes_delays_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserting, "RETRY_PAUSES_S", (0.001,))

    async def scenario() -> None:
        client = HeldClient()
        client.let_go.set()
        client.faults = [ClickHouseError("too many parts", 252, transient=True)]
        inserter = opened(client, Builder(client))
        await inserter.insert(piece(0))
        await inserter.insert(piece(1))
        await inserter.settle()
        assert client.said == ["rows 0", "position 1", "rows 1", "position 2"]
        await inserter.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
