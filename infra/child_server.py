"""A server that runs as our child on loopback: its port, its readiness and its end.

Guarantees: the child does not outlive this process, however this process ends (Linux; elsewhere
only an orderly end stops it). Methods of one `ChildServer` belong to one thread at a time.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"

# Below Linux's ephemeral range (32768 and up): a client that reconnects to a stopped broker can
# otherwise be given the broker's port as its own, connect to itself, and block the restart.
_PORTS = range(20000, 32768)

_POLL_S = 0.02
_LOG_TAIL_LINES = 15

# Runs between fork and the server's exec. A trampoline rather than preexec_fn, which may deadlock
# when another thread holds a lock at the fork; the signal survives exec. PR_SET_PDEATHSIG is 1.
_TRAMPOLINE = """
import ctypes, os, sys
parent, death_signal, *argv = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent is already gone")
os.execvp(argv[0], argv)
"""

_spawners: dict[int, ThreadPoolExecutor] = {}


class ServerFailedError(RuntimeError):
    """The child ended or did not answer in time; the message carries the tail of its log."""


class PortInUseError(RuntimeError):
    """The port that was asked for belongs to another process."""


def free_port() -> int:
    """Return a port on loopback that nothing listens on; another process may still take it."""
    for port in random.sample(_PORTS, k=100):
        if port_is_free(port):
            return port
    raise PortInUseError(
        f"no free port on {LOOPBACK} among 100 tried in {_PORTS.start}-{_PORTS.stop - 1}: "
        "stop what listens there or name a port"
    )


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class ChildServer:
    """One server process with its log file; start it again after it ended if you like."""

    def __init__(
        self,
        name: str,
        log_path: Path,
        *,
        death_signal: signal.Signals = signal.SIGKILL,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Prepare, start nothing.

        Args:
            death_signal: what the kernel sends the child when this process dies.
            environment: variables beside the inherited ones.
        """
        self.name = name
        self.log_path = log_path
        self._death_signal = death_signal
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the child ended by itself; negative for a signal, None while it runs."""
        return None if self._process is None else self._process.poll()

    def launch(self, argv: Sequence[str]) -> None:
        """Start the child and return at once.

        Raises:
            ServerFailedError: it runs already.
        """
        if self.pid is not None:
            raise ServerFailedError(f"{self.name} runs already (pid {self.pid}): stop it first")
        # The kernel sends the death signal when the *thread* that forked ends, so all children
        # come from one thread that lives as long as the process. Keyed by pid: threads end at fork.
        spawner = _spawners.setdefault(os.getpid(), ThreadPoolExecutor(1, "child-server-spawner"))
        self._process = spawner.submit(self._spawn, list(argv)).result()

    def _spawn(self, argv: list[str]) -> subprocess.Popen[bytes]:
        trampoline = [sys.executable, "-I", "-S", "-c", _TRAMPOLINE]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*trampoline, str(os.getpid()), str(int(self._death_signal)), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for us; we stop our children in our order
            )

    def await_kafka(self, port: int, timeout_s: float, *, host: str = LOOPBACK) -> None:
        """Return once the child answers a Kafka metadata request on `port` of `host`.

        Raises:
            ServerFailedError: it ended, or `timeout_s` passed; the child is killed then.
        """
        deadline = time.monotonic() + timeout_s
        while not (_accepts(host, port) and _answers_metadata(host, port)):
            if self._process is None or self._process.poll() is not None:
                raise ServerFailedError(self.account("ended before it answered"))
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailedError(
                    self.account(f"did not answer on port {port} in {timeout_s:g} s")
                )
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float) -> bool:
        """End the child with SIGTERM, with SIGKILL if it has not ended after `timeout_s`.

        Returns:
            Whether it ended without SIGKILL.
        """
        if self._process is None:
            return True
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a frozen child would not see the SIGTERM
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._process = None
        return True

    def kill(self) -> None:
        """End the child with SIGKILL, as a crash would, and wait until it is gone."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop the child where it stands, with SIGSTOP: it keeps its connections and its locks."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen child go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ServerFailedError(f"{self.name} does not run: start it before {number.name}")
        self._process.send_signal(number)

    def account(self, what: str) -> str:
        """Return a sentence for an error: the server's name, `what` of it, its log's last lines."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        tail = "\n  ".join(lines[-_LOG_TAIL_LINES:])
        code = self.exit_code
        ended = "" if code is None else f" (exit code {code})"
        return f"{self.name} {what}{ended}; the end of {self.log_path}:\n  {tail}"


class LoopbackBroker(ABC):
    """What every broker of ours offers; as a context manager it is started and stopped."""

    port: int
    _server: ChildServer

    @abstractmethod
    def start(self) -> None:
        """Start the broker and return once it answers clients."""

    @abstractmethod
    def stop(self) -> None:
        """End the broker in order."""

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, None when it does not run."""
        return self._server.pid

    def restart(self) -> None:
        """Stop in order and start again, on the same ports and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _answers_metadata(host: str, port: int) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    # Only asked once the port accepts: a KafkaAdminClient that fails to bootstrap leaks its
    # selector's descriptors (kafka-python 3.0.12). describe_cluster fails on noida-db.
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=f"{host}:{port}",
            bootstrap_timeout_ms=2000,
            request_timeout_ms=2000,
        )
    except KafkaError:
        return False
    try:
        admin.list_topics()
    except KafkaError:
        return False
    finally:
        admin.close()
    return True
