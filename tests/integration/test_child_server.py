"""Children end when they must, and not before."""

import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from leadstream.infra.child_server import ChildServer, ServerFailedError, free_port, port_is_free

DEAF = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "w"):
    pass
while True:
    signal.pause()
"""
OBEDIENT = """
import signal, sys
with open(sys.argv[1], "w"):
    pass
signal.pause()
"""
TALKATIVE = "print('the reason', flush=True); raise SystemExit(3)"


def test_a_child_deaf_to_sigterm_is_killed_after_the_bound(tmp_path: Path) -> None:
    """`stop` returns, says that it had to kill, and nothing is left."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    child = ChildServer("deaf", tmp_path / "log")
    child.launch([sys.executable, "-c", DEAF, str(ready)])
    ready.read_bytes()  # returns once the child ignores SIGTERM
    assert not child.stop(timeout_s=0.1)
    assert child.pid is None


def test_a_frozen_child_ends_in_order(tmp_path: Path) -> None:
    """`stop` thaws it, and it sees the SIGTERM; before, the kernel calls it stopped."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    child = ChildServer("frozen", tmp_path / "log")
    child.launch([sys.executable, "-c", OBEDIENT, str(ready)])
    ready.read_bytes()
    child.freeze()
    os.waitid(os.P_PID, child.pid or 0, os.WSTOPPED | os.WNOWAIT)
    assert child.stop(timeout_s=60)


def test_what_does_not_run_is_not_frozen(tmp_path: Path) -> None:
    """The error says so, rather than that a fault was injected."""
    with pytest.raises(ServerFailedError, match="absent does not run"):
        ChildServer("absent", tmp_path / "log").freeze()


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel ties the death signal to a thread; a pool's worker must be able to start one."""
    child = ChildServer("threaded", tmp_path / "log")
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    thread = threading.Thread(target=child.launch, args=([sys.executable, "-c", DEAF, str(fifo)],))
    thread.start()
    thread.join()
    fifo.read_bytes()
    assert child.pid is not None
    child.kill()


def test_a_child_that_ends_early_is_reported_with_its_words(tmp_path: Path) -> None:
    """Exit code and the end of the log are in the error."""
    child = ChildServer("the server", tmp_path / "log")
    child.launch([sys.executable, "-c", TALKATIVE])
    with pytest.raises(ServerFailedError, match=r"(?s)exit code 3\).*the reason"):
        child.await_kafka(free_port(), timeout_s=20)


def test_a_child_that_never_answers_is_killed_after_the_bound(tmp_path: Path) -> None:
    """A port that accepts nothing does not hold the caller for ever."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    child = ChildServer("mute", tmp_path / "log")
    child.launch([sys.executable, "-c", DEAF, str(fifo)])
    fifo.read_bytes()
    with pytest.raises(ServerFailedError, match=r"did not answer on port \d+ in 0\.1 s"):
        child.await_kafka(free_port(), timeout_s=0.1)
    assert child.pid is None


def test_a_listening_port_is_not_free() -> None:
    """And it is free again once its server is gone."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        port = server.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)


def test_the_death_signal_is_what_was_asked_for(tmp_path: Path) -> None:
    """A server that must write its data when we die gets SIGTERM, not SIGKILL."""
    script = (
        "import ctypes; s = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(s)); "
        "print('signal', s.value)"
    )
    child = ChildServer("asks", tmp_path / "log", death_signal=signal.SIGTERM)
    child.launch([sys.executable, "-c", script])
    with pytest.raises(ServerFailedError, match=f"signal {int(signal.SIGTERM)}"):
        child.await_kafka(free_port(), timeout_s=20)
