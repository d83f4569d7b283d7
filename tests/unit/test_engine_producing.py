"""What a batch says goes into record batches: to the right partitions, in order, within bounds."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError
from hypothesis import given, settings
from hypothesis import strategies as st
from producer_stand_in import ProducerStandIn, SentRecord

from leadstream.streams.engine import producing
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.partitioner import hashes_of
from leadstream.streams.engine.processor import Output
from leadstream.streams.engine.producing import RecordBatches

NOW_MS = 1_700_000_000_000


class Broker(ProducerStandIn):
    """Keeps what was sent by topic and partition."""

    def __init__(self) -> None:
        self.got: defaultdict[tuple[str, int], list[SentRecord]] = defaultdict(list)
        self.record_batches = 0

    def sent(self, topic: str, partition: int, record: SentRecord) -> None:
        self.got[topic, partition].append(record)

    async def partitions_for(self, topic: str) -> frozenset[int]:
        if topic == "p.absent":
            raise UnknownTopicOrPartitionError
        return await super().partitions_for(topic)

    async def send_batch(self, *args: object, **kwargs: object) -> asyncio.Future[None]:
        self.record_batches += 1
        return await super().send_batch(*args, **kwargs)  # type: ignore[arg-type]


def send(broker: Broker, outputs: list[Output], store: dict[bytes, bytes | None]) -> None:
    async def run() -> None:
        batches = RecordBatches(broker, "p.{}".format, "stage s partition 2", NOW_MS)
        await batches.add(outputs)
        batches.add_store("store", 2, store)
        await batches.send([])

    asyncio.run(run())


KEYS = st.one_of(st.none(), st.sampled_from([b"a", b"lead-7", b"a-much-longer-lead-id"]))
TARGETS = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), KEYS, st.one_of(st.none(), st.integers(0, 3))),
    max_size=40,
)


@settings(deadline=None)
@given(TARGETS, st.integers(1, 60))
def test_each_record_goes_once_to_its_partition_in_order(
    targets: list[tuple[str, bytes | None, int | None]], max_bytes: int
) -> None:
    broker = Broker()
    broker.max_bytes = max_bytes
    outputs = [
        Output(topic, key, str(n).encode(), (), None, partition)
        for n, (topic, key, partition) in enumerate(targets)
    ]
    send(broker, outputs, {})
    for topic in ("one", "two"):
        mine = [output for output in outputs if output.topic == topic]
        free = {o.value for o in mine if o.partition is None and o.key is None}
        said = [(n, r) for n in range(4) for r in broker.got[f"p.{topic}", n]]
        for number in range(4):
            expected = [(o.key, o.value) for o in mine if _number_of(o) == number]
            assert expected == [
                (r.key, r.value) for n, r in said if n == number and r.value not in free
            ]
        assert sorted(r.value or b"" for _, r in said) == sorted(o.value or b"" for o in mine)
        assert len({n for n, r in said if r.value in free}) <= 1, "without a key: all together"


def _number_of(output: Output) -> int | None:
    if output.partition is None and output.key is not None:
        return hashes_of([output.key])[0] % 4
    return output.partition


def test_a_record_has_the_time_that_it_names_else_that_of_the_batch() -> None:
    broker = Broker()
    send(broker, [Output("one", b"k", b"", (), 7, 0), Output("one", b"k", b"", (), None, 0)], {})
    assert [record.timestamp_ms for record in broker.got["p.one", 0]] == [7, NOW_MS]


def test_store_entries_and_deletions_go_to_the_stages_own_partition() -> None:
    broker = Broker()
    send(broker, [], {b"k": b"v", b"gone": None})
    assert [record[:2] for record in broker.got["p.store", 2]] == [(b"k", b"v"), (b"gone", None)]


def test_many_records_of_a_partition_are_one_record_batch() -> None:
    broker = Broker()
    send(broker, [Output("one", b"k", b"v", partition=1)] * 500, {})
    assert broker.record_batches == 1
    assert len(broker.got["p.one", 1]) == 500


def test_a_topic_that_is_missing_is_named_with_the_mend() -> None:
    with pytest.raises(EngineError, match=r"stage s partition 2: .*p\.absent.*topics apply"):
        send(Broker(), [Output("absent", b"k", b"v")], {})


def test_a_record_larger_than_any_topic_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producing, "RECORD_BATCH_BYTES", 10)
    monkeypatch.setattr(producing, "MAX_RECORD_BYTES", 20)
    send(Broker(), [], {b"k": b"x" * 15})
    with pytest.raises(EngineError, match=r"cannot send to p\.store: .*takes 31 bytes"):
        send(Broker(), [], {b"k": b"x" * 30})
