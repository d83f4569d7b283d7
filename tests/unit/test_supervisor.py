from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadstream.infra.embedded import supervisor as module
from leadstream.infra.embedded.supervisor import Supervisor, WorkersFailedError
from leadstream.schemas.exit_codes import ExitCode

CRASHES = "print('what went wrong'); raise SystemExit(3)"
WAITS = "import os, signal; print(os.environ['LEADSTREAM_INSTANCE_ID'], flush=True); signal.pause()"

Make = Callable[..., Supervisor]


@pytest.fixture
def supervise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    made: list[Supervisor] = []

    def make(program: str, *names: str, restarts: bool = True) -> Supervisor:
        monkeypatch.setattr(module, "_COMMAND", program)
        made.append(Supervisor(names, tmp_path / "logs", {}, restarts=restarts))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def check_until_it_raises(one: Supervisor) -> tuple[list[str], str]:
    told: list[str] = []
    deadline = time.monotonic() + 30
    while True:
        try:
            told += one.check()
        except WorkersFailedError as error:
            return told, str(error)
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_worker_that_keeps_crashing_is_given_up_with_the_end_of_its_log(supervise: Make) -> None:
    told, fault = check_until_it_raises(supervise(CRASHES, "worker-1"))
    assert len(told) == module.CRASHES_MAX - 1
    assert all("worker-1 ended after" in line and "starting again in" in line for line in told)
    assert fault.startswith(f"worker-1 ended {module.CRASHES_MAX} times in a row (exit code 3)")
    assert "what went wrong" in fault


@pytest.mark.parametrize("code", [ExitCode.CONFIGURATION, ExitCode.BAD_DATA])
def test_a_worker_that_another_start_does_not_help_is_given_up_at_once(
    supervise: Make, code: ExitCode
) -> None:
    told, fault = check_until_it_raises(supervise(f"raise SystemExit({int(code)})", "worker-1"))
    assert told == []
    assert fault.startswith(f"worker-1 ended (exit code {int(code)})")


def test_without_restarts_the_first_crash_is_final(supervise: Make) -> None:
    told, fault = check_until_it_raises(supervise(CRASHES, "worker-1", restarts=False))
    assert told == []
    assert fault.startswith("worker-1 ended (exit code 3)")


def test_each_worker_has_its_own_name_and_log(supervise: Make, tmp_path: Path) -> None:
    one = supervise(WAITS, "worker-1", "worker-2")
    logs = [tmp_path / "logs" / f"worker-{number}.log" for number in (1, 2)]
    deadline = time.monotonic() + 30
    while not all(log.exists() and log.read_text() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [log.read_text() for log in logs] == ["worker-1\n", "worker-2\n"]
    assert one.check() == []
    assert one.running == 2
    one.stop()
    assert one.running == 0
