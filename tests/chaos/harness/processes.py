"""Workers and sinks as real processes, under a supervisor that starts again whatever exits."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from leadstream.infra.child_server import ChildServer
from leadstream.schemas.settings import Settings

LEADSTREAM = str(Path(sys.executable).parent / "leadstream")
RESTART_PAUSE_S = 1.0
STOP_TIMEOUT_S = 45.0
_ARGUMENTS = {"worker": ["worker", "--web-port", "0"], "sink": ["sink"]}
_SAID = re.compile(r"(?:CRITICAL +\S+: |^Error: )(.*)")


@dataclass(frozen=True, slots=True)
class Exit:
    """One end of a process; `ours` is the signal that we sent it, if any."""

    name: str
    code: int
    ours: str | None
    reason: str


class _Child(ChildServer):
    """A child whose exit code is told."""

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()


@dataclass
class _Slot:
    name: str
    server: _Child
    log: Path
    log_from: int = 0
    """Where in the log the present process begins, bytes."""
    wanted: bool = True
    ours: str | None = None
    start_at: float = 0.0
    guard: threading.RLock = field(default_factory=threading.RLock)


class Supervisor:
    """Keeps named processes running until it is told to stop; a context manager."""

    def __init__(self, settings: Settings, directory: Path, *, static: bool) -> None:
        self.exits: list[Exit] = []
        self.starts: Counter[str] = Counter()
        self._settings = settings
        self._directory = directory
        self._static = static
        self._slots: dict[str, _Slot] = {}
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._watcher.join()
        for slot in self._slots.values():
            slot.server.kill()

    def add(self, name: str) -> None:
        """Start `worker-N` or `sink-N` and keep it running."""
        log = self._directory / f"{name}.log"
        environment = _environment(self._settings)
        if self._static:
            environment |= {
                "LEADSTREAM_STATIC_MEMBERSHIP": "true",
                "LEADSTREAM_INSTANCE_ID": name,
            }
        server = _Child(name, log, environment=environment)
        self._slots[name] = slot = _Slot(name, server, log)
        with slot.guard:
            self._start(slot)

    def names(self, kind: str) -> list[str]:
        """Return the processes of a kind that are to run."""
        found = [s.name for s in list(self._slots.values()) if s.wanted]
        return [name for name in found if name.startswith(kind)]

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal; False when the process does not run at this moment."""
        slot = self._slots[name]
        with slot.guard:
            pid = slot.server.pid
            if pid is None:
                return False
            if number in (signal.SIGKILL, signal.SIGTERM):
                slot.ours = number.name
            os.kill(pid, number)
            return True

    def await_exit(self, name: str, timeout_s: float) -> None:
        """Return when a process that was told to stop has ended; kill it after `timeout_s`."""
        pid = self._slots[name].server.pid
        deadline = time.monotonic() + timeout_s
        while pid is not None and self._slots[name].server.pid == pid:
            if time.monotonic() > deadline:
                self._kill_deaf(self._slots[name])
                return
            time.sleep(0.1)

    def remove(self, name: str) -> None:
        """Stop a process in order and let it rest; it is gone when this returns."""
        slot = self._slots[name]
        slot.wanted = False
        self.signal(name, signal.SIGTERM)
        self.await_exit(name, STOP_TIMEOUT_S)
        with slot.guard:
            self._note_exit(slot)

    def stop_all(self) -> None:
        """Stop every process in order."""
        threads = [
            threading.Thread(target=self.remove, args=(name,))
            for name, slot in self._slots.items()
            if slot.wanted
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(0.1):
            for slot in list(self._slots.values()):
                with slot.guard:
                    if slot.wanted and slot.server.pid is None:
                        self._revive(slot)

    def _revive(self, slot: _Slot) -> None:
        if slot.start_at == 0.0:
            self._note_exit(slot)
            slot.start_at = time.monotonic() + RESTART_PAUSE_S
        elif time.monotonic() >= slot.start_at:
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        slot.start_at, slot.ours = 0.0, None
        slot.log_from = slot.log.stat().st_size if slot.log.exists() else 0
        self.starts[slot.name.partition("-")[0]] += 1
        kind = slot.name.partition("-")[0]
        slot.server.launch([LEADSTREAM, *_ARGUMENTS[kind]])

    def _kill_deaf(self, slot: _Slot) -> None:
        with slot.guard:
            if slot.server.pid is not None:
                slot.ours = "SIGKILL, since SIGTERM was not heeded"
                os.kill(slot.server.pid, signal.SIGKILL)

    def _note_exit(self, slot: _Slot) -> None:
        code = slot.server.exit_code
        if code is not None:
            self.exits.append(Exit(slot.name, code, slot.ours, _reason(slot.log, slot.log_from)))
            slot.server.kill()  # collects what has ended


def _reason(log: Path, start: int) -> str:
    with log.open("rb") as stream:
        stream.seek(start)
        for line in stream:
            if found := _SAID.search(line.decode("utf-8", "replace")):
                return _without_numbers(found.group(1))
    return "nothing said"


def _without_numbers(text: str) -> str:
    text = re.sub(r"\b[\w.-]+:\d{4,5}\b", "HOST:PORT", text)
    return re.sub(r"\d+", "N", text)[:160]


def _environment(settings: Settings) -> dict[str, str]:
    found = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        found[f"LEADSTREAM_{name.upper()}"] = text
    return found
