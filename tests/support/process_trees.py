"""The command `leadstream` as a process with children, and whether it left any of them behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A shell ignores SIGINT for what it runs in the background, tests and their children among it.
_AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
_RUN = _AS_IN_A_TERMINAL + "from leadstream.infra.cli import main; main()"
COMMAND = [sys.executable, "-P", "-c", _RUN]


def environment() -> dict[str, str]:
    """Return our environment without settings of leadstream."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEADSTREAM_")}


def run(*arguments: Any, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(log: Path, *arguments: Any) -> subprocess.Popen[bytes]:
    """Start a command; what it prints goes to `log`."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], env=environment(), stdout=stream, stderr=stream
        )


def processes_of(data_dir: Path) -> dict[int, str]:
    """Return the command lines of all processes that work in a data directory, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
            variables = entry.joinpath("environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command and (str(data_dir) in command or f"DATA_DIR={data_dir}" in variables):
            found[int(entry.name)] = command
    return found


def workers_of(data_dir: Path) -> list[int]:
    """Return the process ids of the workers of a data directory."""
    found = processes_of(data_dir)
    return [pid for pid, command in found.items() if command.strip().endswith("main() worker")]


def wait_until(holds: Callable[[], Any], what: str, timeout_s: float = 90) -> Any:
    """Return what `holds` gives as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)
    return found
