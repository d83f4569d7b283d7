"""A crash at a record: tried again, then moved aside; and too many dead letters stop the worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger import Ledger
from msgspec.structs import replace
from turns_on_paper import lane_of, run

from leadstream.schemas import headers
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.registry import RegistryAwayError
from leadstream.schemas.settings import Settings
from leadstream.streams.engine import partition as engine_partition
from leadstream.streams.engine.dead_letter_share import LEAST_JUDGED, DeadLetterShare
from leadstream.streams.engine.faults import (
    CrashError,
    EngineError,
    TooManyDeadLettersError,
    is_expected,
)
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import BatchResult, DeadLetter, Output, Record
from leadstream.streams.engine.seat import batches_of


class ListStage:
    """Lists what came; a record `crash` raises after it has spoilt the memory, `bad` is refused."""

    name = "list"
    inputs = ("left",)
    outputs = ("listed",)
    store = "list.store"

    def __init__(self, heals_after: int | None = None) -> None:
        self.crashes = 0
        self.heals_after = heals_after
        self.timer_crashes = False
        self.fault: Exception = ZeroDivisionError("a bug in the stage")

    def open(self, number: int) -> ListLogic:
        return ListLogic(self)


class ListLogic:
    def __init__(self, stage: ListStage) -> None:
        self.stage = stage
        self.seen: list[str] = []

    def restore(self, key: bytes, value: bytes | None) -> None:
        self.seen = json.loads(value or b"[]")

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        if self.stage.timer_crashes:
            raise RuntimeError("a deadline crashes")
        for record in records:
            text = (record.value or b"").decode()
            if text == "bad":
                result.dead_letters.append(DeadLetter(record, "bad", "refused"))
                continue
            self.seen.append(text)
            if text == "crash":
                self.stage.crashes += 1
                if self.stage.heals_after is None or self.stage.crashes <= self.stage.heals_after:
                    raise self.stage.fault
            result.outputs.append(Output("listed", None, json.dumps(self.seen).encode()))
        result.store[b"seen"] = json.dumps(self.seen).encode()
        return result

    def next_due_ms(self) -> int | None:
        return None


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger = Ledger()
    monkeypatch.setattr(engine_partition, "StoreReader", ledger.reader)
    return ledger


def partition_of(stage: ListStage, **settings: Any) -> StagePartition:
    return StagePartition(Settings(**settings), stage, 0, lane_of(Settings(), None))


def records(*values: str, start: int = 0) -> list[Record]:
    return [Record("left", 0, start + n, 0, b"k", value.encode()) for n, value in enumerate(values)]


def test_a_record_at_which_the_code_crashes_is_moved_aside_and_the_others_count_once(
    ledger: Ledger,
) -> None:
    stage = ListStage()
    partition = partition_of(stage, crash_max_tries=3)
    run(partition, ledger, records("a", "crash", "b"))
    assert ledger.values("listed") == [b'["a"]', b'["a", "b"]']
    assert ledger.values("left.dlq") == [b"crash"]
    assert stage.crashes == 1 + 3, "once in the batch, then as often as it is tried alone"
    assert ledger.meta("list.store", 0).positions == {"left": 3}


def test_the_letter_of_a_crash_says_what_crashed(ledger: Ledger) -> None:
    run(partition_of(ListStage(), crash_max_tries=2), ledger, records("crash"))
    said = dict(ledger.records("left.dlq")[0].headers)
    assert said["leadstream-error-kind"] == b"crash"
    assert said["leadstream-error"] == (b"crashed 2 times: ZeroDivisionError: a bug in the stage")


def test_a_crash_that_passes_costs_nothing(ledger: Ledger) -> None:
    run(partition_of(ListStage(heals_after=2)), ledger, records("a", "crash"))
    assert ledger.values("listed") == [b'["a"]', b'["a", "crash"]']
    assert ledger.values("left.dlq") == []


@pytest.mark.parametrize("fault", [RegistryAwayError("no answer"), ConnectionResetError()])
def test_a_service_that_is_away_stops_the_worker_and_sets_no_record_aside(
    ledger: Ledger, fault: Exception
) -> None:
    stage = ListStage()
    stage.fault = fault
    with pytest.raises(EngineError, match="processing failed at left 0-1") as caught:
        run(partition_of(stage), ledger, records("a", "crash"))
    assert exit_code_of(caught.value) is ExitCode.TEMPORARY
    assert is_expected(caught.value), "no traceback for what is no bug"
    assert (ledger.transactions, stage.crashes) == ([], 1)


def test_a_deadline_at_which_the_code_crashes_stops_the_worker_and_blames_no_record(
    ledger: Ledger,
) -> None:
    stage = ListStage()
    stage.timer_crashes = True
    with pytest.raises(CrashError, match=r"no records \(a timer\).*a deadline crashes") as caught:
        run(partition_of(stage), ledger, records("a"))
    assert exit_code_of(caught.value) is ExitCode.BUG
    assert ledger.transactions == []


def test_a_share_of_dead_letters_above_the_limit_stops_the_worker_before_it_commits(
    ledger: Ledger,
) -> None:
    partition = partition_of(ListStage(), dead_letter_max_share=0.2)
    run(partition, ledger, records(*["ok"] * 80))
    with pytest.raises(TooManyDeadLettersError, match=r"21 of the last 101 .* offset 100") as e:
        run(partition, ledger, records(*["bad"] * 21, start=80))
    assert "LEADSTREAM_DEAD_LETTER_MAX_SHARE" in str(e.value)
    assert exit_code_of(e.value) is ExitCode.BAD_DATA
    assert ledger.values("left.dlq") == []
    assert ledger.meta("list.store", 0).positions == {"left": 80}


def test_a_restart_does_not_forget_the_share_of_dead_letters(ledger: Ledger) -> None:
    first = partition_of(ListStage(), dead_letter_max_share=0.5)
    run(first, ledger, records(*["ok", "bad"] * 50))
    assert ledger.meta("list.store", 0).share == DeadLetterShare(100, 50)
    second = partition_of(ListStage(), dead_letter_max_share=0.5)
    asyncio.run(second._restore())
    with pytest.raises(TooManyDeadLettersError, match="51 of the last 101"):
        run(second, ledger, records("bad", start=100))


def test_a_share_of_1_lets_everything_go_to_the_dead_letters(ledger: Ledger) -> None:
    partition = partition_of(ListStage(), dead_letter_max_share=1)
    run(partition, ledger, records(*["bad"] * 300))
    assert len(ledger.values("left.dlq")) == 300


def test_letters_that_are_sent_again_and_fail_again_do_not_count_towards_the_share(
    ledger: Ledger,
) -> None:
    partition = partition_of(ListStage(), dead_letter_max_share=0)
    again = [replace(r, headers=[(headers.LETTER_ID, b"left-0-1")]) for r in records("bad") * 300]
    run(partition, ledger, again)
    assert len(ledger.values("left.dlq")) == 300


@given(st.lists(st.integers(0, 50)), st.integers(1, 7), st.integers(1, 100))
def test_batches_keep_order_and_both_bounds(sizes: list[int], most: int, max_bytes: int) -> None:
    given_records = records(*("x" * size for size in sizes))
    batches = list(batches_of(given_records, most, max_bytes))
    assert [record for batch in batches for record in batch] == given_records
    for batch in batches:
        assert len(batch) <= most
        held = sum(len(r.key or b"") + len(r.value or b"") for r in batch)
        assert held <= max_bytes or len(batch) == 1
    assert all(batches)


def test_few_records_say_nothing_about_a_share() -> None:
    assert not DeadLetterShare(LEAST_JUDGED - 1, LEAST_JUDGED - 1).is_above(0)
    assert DeadLetterShare(LEAST_JUDGED, 1).is_above(0)


def test_old_records_weigh_less_and_less() -> None:
    share = DeadLetterShare(1000, 1000)
    for _ in range(20):
        share = share.after(500, 0, window_records=1000)
    assert share.records <= 1000
    assert share.dead == 0
