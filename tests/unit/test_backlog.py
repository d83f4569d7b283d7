"""How far the stages are, on a broker that has just been told of its topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from leadstream.schemas.settings import Settings
from leadstream.streams.ingest import backlog
from leadstream.streams.ingest.backlog import Backlog

PARTITIONS = {
    name: [TopicPartition(name, 0), TopicPartition(name, 1)]
    for name in ("touchpoints", "crm-events")
}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what asks for the ends of both inputs where the broker's answers are these in turn."""

    async def end_offsets(_: object, partitions: list[TopicPartition]) -> Any:
        return dict.fromkeys(partitions, 7)

    def asked(*answers: dict[str, list[TopicPartition]]) -> Any:
        told = list(answers)

        async def partitions_by_topic(_: object) -> dict[str, list[TopicPartition]]:
            return told.pop(0) if len(told) > 1 else told[0]

        async def ends() -> Any:
            return await Backlog(Settings()).ends_of(("touchpoints", "crm-events"))

        monkeypatch.setattr(backlog, "partitions_by_topic", partitions_by_topic)
        return asyncio.run(ends())

    monkeypatch.setattr(backlog.AIOKafkaConsumer, "end_offsets", end_offsets)
    monkeypatch.setattr(backlog, "KNOWN_INTERVAL_S", 0.0)
    return asked


def test_a_topic_that_the_broker_learns_of_late_is_waited_for(ask: Callable[..., Any]) -> None:
    late = {"touchpoints": PARTITIONS["touchpoints"]}
    ends = ask({}, late, PARTITIONS)
    assert ends == dict.fromkeys(chain.from_iterable(PARTITIONS.values()), 7)


def test_a_topic_that_never_comes_is_named_with_the_mend(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "KNOWN_TIMEOUT_S", 0.0)
    mend = "no topic crm-events: run `leadstream topics apply`"
    with pytest.raises(KafkaError, match=mend):
        ask({"touchpoints": PARTITIONS["touchpoints"]})
