"""The engine's parts that need no broker."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence

import faust
import pytest
from aiokafka.errors import ProducerFenced, UnknownTopicOrPartitionError
from faust.cli.base import find_app
from producer_stand_in import ProducerStandIn, SentRecord
from turns_on_paper import lane_of, run

from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings
from leadstream.streams.engine import partition as engine_partition
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.faults import EngineError, explain, is_expected, span_of
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.positions import META_KEY, Meta, decode_meta
from leadstream.streams.engine.preflight import check_topics
from leadstream.streams.engine.processor import BatchResult, Record
from leadstream.streams.engine.restore import Restored


def record(**fields: object) -> Record:
    given = {"topic": "left", "partition": 2, "offset": 7, "timestamp_ms": 0, "key": b"k"}
    return Record(**{**given, "value": b"v", **fields})  # type: ignore[arg-type]


class ScriptedLogic:
    """Answers each call with the next result."""

    def __init__(self, *results: BatchResult) -> None:
        self.results = list(results)
        self.calls: list[int] = []
        self.due: int | None = None

    def restore(self, key: bytes, value: bytes | None) -> None: ...

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        self.calls.append(len(records))
        return self.results.pop(0)

    def next_due_ms(self) -> int | None:
        return self.due


class ScriptedStage:
    name = "scripted"
    inputs = ("left", "right")
    outputs = ("counted",)
    store = "scripted.store"

    def __init__(self, logic: ScriptedLogic | None = None) -> None:
        self.logic = logic or ScriptedLogic()

    def open(self, partition: int) -> ScriptedLogic:
        return self.logic


class RecordingProducer(ProducerStandIn):
    """Notes each step; `refuse` makes sends to a topic fail."""

    def __init__(self, refuse: tuple[str, BaseException] | None = None) -> None:
        self.log: list[tuple[object, ...]] = []
        self._refuse = refuse

    async def begin_transaction(self) -> None:
        self.log.append(("begin",))

    def sent(self, topic: str, partition: int, record: SentRecord) -> BaseException | None:
        self.log.append(("send", topic, record.key, record.value, partition))
        return self._refuse[1] if self._refuse and topic == self._refuse[0] else None

    async def commit_transaction(self) -> None:
        self.log.append(("commit",))


def partition_of(logic: ScriptedLogic, **settings: object) -> StagePartition:
    partition = StagePartition(
        Settings(topic_prefix="p.", **settings),  # type: ignore[arg-type]
        ScriptedStage(logic),
        2,
        lane_of(Settings(), None),
    )
    partition.positions = {"left": 0, "right": 5}
    return partition


def test_state_and_positions_are_committed_in_one_transaction() -> None:
    producer = RecordingProducer()
    logic = ScriptedLogic(BatchResult(store={b"k": b"state"}))
    partition = partition_of(logic)
    run(partition, producer, [record(offset=6), record(offset=7)])
    (begin, state, meta, commit) = producer.log
    assert (begin, commit) == (("begin",), ("commit",))
    assert state == ("send", "p.scripted.store", b"k", b"state", 2)
    assert meta[1:3] == ("p.scripted.store", META_KEY)
    assert json.loads(str(meta[3], "utf-8"))["positions"] == {"left": 8, "right": 5}  # type: ignore[arg-type]
    assert partition.positions == {"left": 8, "right": 5}


def test_a_store_that_ever_was_of_format_2_stays_marked_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a worker of the release before would take it over and not be able to read all of it."""

    class Newer:
        def __init__(self, *_: object) -> None: ...

        async def __aenter__(self) -> Newer:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def read(self, *_: object, is_fenced: bool) -> Restored:
            return Restored(0, Meta({"left": 0, "right": 0}, store_format=2))

    monkeypatch.setattr(engine_partition, "StoreReader", Newer)
    producer = RecordingProducer()
    partition = partition_of(ScriptedLogic(BatchResult()), store_format=1)
    asyncio.run(partition._restore())
    run(partition, producer, [record()])
    assert json.loads(str(producer.log[1][3], "utf-8"))["version"] == 2  # type: ignore[arg-type]


def test_records_without_effect_still_move_the_positions() -> None:
    producer = RecordingProducer()
    run(partition_of(ScriptedLogic(BatchResult())), producer, [record()])
    assert [step[0] for step in producer.log] == ["begin", "send", "commit"]


def test_a_timer_with_nothing_to_say_makes_no_transaction_and_waits_before_it_is_asked_again() -> (
    None
):
    logic = ScriptedLogic(BatchResult())
    logic.due = 900
    partition = partition_of(logic, poll_timeout_ms=200)
    assert partition.process([], 1000) is None
    assert partition.next_due_ms() == 1200


def test_a_transaction_holds_at_most_batch_max_records() -> None:
    logic = ScriptedLogic(*(BatchResult() for _ in range(3)))
    partition = partition_of(logic, batch_max_records=2)
    run(partition, RecordingProducer(), [record(offset=n) for n in range(5)])
    assert logic.calls == [2, 2, 1]
    assert partition.positions["left"] == 5


def test_a_failed_send_is_not_committed() -> None:
    producer = RecordingProducer(("p.scripted.store", ProducerFenced()))
    partition = partition_of(ScriptedLogic(BatchResult()))
    with pytest.raises(EngineError, match="left 7-7 failed: another worker has taken"):
        run(partition, producer, [record()])
    assert ("commit",) not in producer.log
    assert partition.positions == {"left": 0, "right": 5}


def test_a_stage_may_not_write_the_meta_record() -> None:
    partition = partition_of(ScriptedLogic(BatchResult(store={META_KEY: b"x"})))
    with pytest.raises(EngineError, match="the engine's own"):
        run(partition, RecordingProducer(), [record()])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b'{"version":3,"positions":{}}', "s/1: the store has format 3"),
        (b"\xff", "s/1: the meta record is not one of leadstream's"),
    ],
)
def test_a_store_of_another_format_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        decode_meta(value, "s/1")


COUNTS = {"counted": 1, "left": 4, "right": 4, "scripted.store": 4, "left.dlq": 1, "right.dlq": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scripted.store": None, "left.dlq": None}, "no topic scripted.store, left.dlq on"),
        ({"right": 8}, "left has 4, right has 8, scripted.store has 4"),
        ({"scripted.store": 2}, "scripted.store has 2"),
    ],
)
def test_topics_that_do_not_fit_a_stage_are_named(change: dict[str, int], said: str) -> None:
    counts = {name: n for name, n in {**COUNTS, **change}.items() if n is not None}
    with pytest.raises(EngineError, match=f"(?s){said}.*leadstream topics apply"):
        check_topics(counts, Settings(), ScriptedStage())
    check_topics(COUNTS, Settings(), ScriptedStage())


def test_known_faults_are_explained_without_a_traceback_and_bugs_with_one() -> None:
    assert "leadstream topics apply" in explain(UnknownTopicOrPartitionError())
    assert is_expected(UnknownTopicOrPartitionError())
    fault = EngineError("at left 3-4: ZeroDivisionError: x")
    fault.__cause__ = ZeroDivisionError("x")
    assert explain(fault) == "at left 3-4: ZeroDivisionError: x"
    assert not is_expected(fault)


def test_a_batch_is_named_by_its_topics_and_offsets() -> None:
    batch = [record(offset=3), record(offset=9), record(topic="right", offset=0)]
    assert span_of(batch) == "left 3-9, right 0-0"


class Farewell:
    """Counts its calls; hangs when told to."""

    def __init__(self, hangs: bool = False) -> None:
        self.calls = 0
        self._hangs = hangs

    async def __call__(self) -> None:
        self.calls += 1
        if self._hangs:
            await asyncio.Event().wait()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_fault_ends_the_process_even_when_the_farewell_hangs(hangs: bool) -> None:
    farewell = Farewell(hangs)

    async def fail_twice() -> tuple[int, str | None]:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def end(code: int) -> None:
            loop.call_soon_threadsafe(lambda: ended.done() or ended.set_result(code))

        fail_stop = FailStop(farewell, end, farewell_timeout_s=0.2 if hangs else 60)
        fail_stop(EngineError("first"))
        fail_stop(EngineError("echo"))
        return await asyncio.wait_for(ended, 5), fail_stop.reason

    assert asyncio.run(fail_twice()) == (ExitCode.TEMPORARY, "first")
    assert farewell.calls == 1


@pytest.fixture
def fausts_command() -> Iterator[Callable[[], faust.App]]:
    """How `faust -A leadstream.streams.app` finds the app, each time anew."""
    yield lambda: find_app("leadstream.streams.app")
    vars(sys.modules["leadstream.streams.app"]).pop("app", None)


def test_faust_finds_the_app_with_both_stages(
    monkeypatch: pytest.MonkeyPatch, fausts_command: Callable[[], faust.App]
) -> None:
    monkeypatch.setenv("LEADSTREAM_WEB_PORT", "0")
    labels = [service.label for service in fausts_command()._extra_services]
    assert {"StageEngine: identify", "StageEngine: lifecycle"} <= set(labels)


def test_a_wrong_setting_is_one_line_in_fausts_own_command_too(
    monkeypatch: pytest.MonkeyPatch, fausts_command: Callable[[], faust.App]
) -> None:
    monkeypatch.setenv("LEADSTREAM_KAFKA_BOOTSTRAP", "nowhere")
    with pytest.raises(SystemExit, match=r"(?i)error: .*kafka_bootstrap"):
        fausts_command()
