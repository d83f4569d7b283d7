"""Worker processes: results in the order of the tasks, faults told, nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from leadstream.infra.backfill.crew import Crew, WorkerError


class Helper:
    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def double(self, value: Any) -> Any:
        return value * 2

    def fail(self, message: str) -> None:
        raise KeyError(message) if message == "told" else RuntimeError(message)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_tasks_are_taken_as_workers_are_free() -> None:
    taken = []

    def tasks() -> Iterator[tuple[Any]]:
        for number in range(20):
            taken.append(number)
            yield (number,)

    with Crew(1, Helper) as crew:
        results = crew.do("double", tasks())
        assert next(results) == 0
        assert taken == [0, 1]
        assert next(results) == 2
        assert taken == [0, 1, 2]


def test_results_come_in_the_order_of_the_tasks() -> None:
    with Crew(2, Helper) as crew:
        results = crew.do("double", ((number,) for number in range(20)))
        assert list(results) == [2 * number for number in range(20)]
        assert list(crew.do("double", [(b"x",)])) == [b"xx"]
        assert list(crew.do("double", [])) == []
        pids = crew.pids
    assert not any(map(is_alive, pids))


def test_of_a_foreseen_fault_the_message_comes_through_and_of_others_the_traceback() -> None:
    with Crew(1, Helper, (KeyError,)) as crew:
        with pytest.raises(WorkerError, match=r"^'told'$"):
            list(crew.do("fail", [("told",)]))
        with pytest.raises(WorkerError, match=r"(?s)Traceback.*RuntimeError: strange"):
            list(crew.do("fail", [("strange",)]))
        assert list(crew.do("double", [(3,)])) == [6]


def test_a_worker_that_dies_is_told_and_the_others_end() -> None:
    with pytest.raises(WorkerError, match="try fewer --processes"), Crew(2, Helper) as crew:
        pids = crew.pids
        list(crew.do("die", [()]))
    assert not any(map(is_alive, pids))
