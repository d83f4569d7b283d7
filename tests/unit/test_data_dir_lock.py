"""One process per data directory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leadstream.infra.embedded.lock import DataDirInUse, DataDirLock

HOLDER = """
import sys, pathlib
from leadstream.infra.embedded.lock import DataDirLock
DataDirLock(pathlib.Path(sys.argv[1])).acquire()
print("taken", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(data_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "taken\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_second_taker_learns_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    """The message has pid, command and time of the holder, the directory, and the mend."""
    with holder(tmp_path) as child, pytest.raises(DataDirInUse) as refused:
        DataDirLock(tmp_path).acquire()
    message = str(refused.value)
    assert f"{tmp_path} is in use by pid {child.pid} (" in message
    assert "-c" in message
    assert " since 20" in message
    assert "stop that process, or give this one another data directory" in message


def test_a_refused_taker_leaves_the_holders_words(tmp_path: Path) -> None:
    """The third taker is told as much as the second."""
    with holder(tmp_path) as child:
        for _ in range(2):
            with pytest.raises(DataDirInUse, match=f"pid {child.pid}"):
                DataDirLock(tmp_path).acquire()


def test_what_a_killed_process_left_does_not_block(tmp_path: Path) -> None:
    """The file of a process ended by SIGKILL is still there, and the lock is free."""
    with holder(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert str(child.pid) in (tmp_path / "LOCK").read_text()
        with DataDirLock(tmp_path):
            assert f'"pid": {os.getpid()}' in (tmp_path / "LOCK").read_text()


def test_it_can_be_taken_again_after_release(tmp_path: Path) -> None:
    """Release frees it within one process, and a second release changes nothing."""
    lock = DataDirLock(tmp_path / "made" / "here")
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    """Two chDB engines in one process would damage the data as well."""
    with DataDirLock(tmp_path), pytest.raises(DataDirInUse, match=f"pid {os.getpid()}"):
        DataDirLock(tmp_path).acquire()


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    """A server that we started may outlive our use of the directory for a moment."""
    lock = DataDirLock(tmp_path)
    lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        with DataDirLock(tmp_path):
            assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_holder_is_still_a_holder(tmp_path: Path, content: str) -> None:
    """Between taking the lock and writing who it is, the file holds nothing or a half."""
    with DataDirLock(tmp_path):
        (tmp_path / "LOCK").write_text(content)
        with pytest.raises(DataDirInUse, match="has just taken it"):
            DataDirLock(tmp_path).acquire()
