"""What the benchmarks share: a broker, workers as processes, their memory, and the answer's form.

A benchmark is one command: `python tests/benchmarks/NAME.py [options] [--json]`. It starts an
Apache Kafka of its own and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Producer

from leadstream.infra.embedded.generator import generate
from leadstream.infra.kafka.local import LocalKafka
from leadstream.infra.topics import apply_topics
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings, load_settings
from leadstream.streams.engine.processor import Headers
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.implementation import IMPLEMENTATION

LEADSTREAM = str(Path(sys.executable).parent / "leadstream")
HISTORY_END = datetime(2026, 3, 1, tzinfo=UTC)
HISTORY_DAYS = 180
STOP_TIMEOUT_S = 60.0


class Child:
    """A leadstream process, what it logged, and what it takes of memory.

    Args:
        program: what is run instead of the command.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        log: Path,
        program: Sequence[str] = (LEADSTREAM,),
    ) -> None:
        self.log_path = log
        self.started_at = time.monotonic()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LEADSTREAM_")}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*program, *arguments],
                env=inherited | environment,
                stdout=stream,
                stderr=stream,
            )

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def check(self) -> None:
        if self.process.poll() is not None:
            raise SystemExit(f"{self.process.args} ended:\n{self.log()[-3000:]}")

    def memory_mb(self) -> tuple[float, float]:
        """Return resident memory now and at its peak, megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        now, peak = (int(fields[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def cpu_s(self) -> float:
        """Return the CPU time so far, seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Lab:
    """One broker in a directory that vanishes; a context manager.

    Args:
        child_path: where the processes find their packages, if not where this one does.
    """

    def __init__(self, child_path: str | None = None) -> None:
        self._child_path = child_path
        self.directory = Path(tempfile.mkdtemp(prefix="leadstream-benchmark-"))
        self.kafka = LocalKafka(
            self.directory / "kafka",
            heap="1g",
            jvm_options=(),
            # The topics of a run would else be deleted during another one, a minute later.
            properties={"log.segment.delete.delay.ms": "500"},
        )
        self._children: list[Child] = []

    def __enter__(self) -> Lab:
        # A benchmark that is told to stop must not leave its broker behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        self.kafka.start()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.stop()
        self.kafka.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def settings(self, prefix: str, **given: Any) -> Settings:
        """Return settings with topics of their own, which are created."""
        settings = load_settings(
            kafka_bootstrap=self.kafka.bootstrap,
            topic_prefix=prefix,
            data_dir=self.directory / prefix,
            **given,
        )
        apply_topics(settings)
        return settings

    def start(
        self,
        settings: Settings,
        *arguments: str,
        command: str = "",
        program: Sequence[str] = (LEADSTREAM,),
    ) -> Child:
        """Start a process of the command, or of another program, with these settings."""
        given = settings.model_dump(include=settings.model_fields_set)
        environment = {f"LEADSTREAM_{name.upper()}": str(value) for name, value in given.items()}
        if self._child_path:
            environment["PYTHONPATH"] = self._child_path
        log = self.directory / f"{len(self._children)}.log"
        child = Child([*([command] if command else []), *arguments], environment, log, program)
        self._children.append(child)
        return child


def wait_for(holds: Callable[[], Any], timeout_s: float, children: Iterable[Child] = ()) -> Any:
    """Return what `holds` gives once it is true; ends the benchmark if a child dies."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            logs = "\n".join(child.log()[-2000:] for child in children)
            raise SystemExit(f"not within {timeout_s:.0f} s; the logs end with:\n{logs}")
        time.sleep(0.05)
    return found


def histories(leads: int, seed: int = 7) -> dict[str, list[LeadEvent]]:
    """Return the events of synthetic leads, and of visitors, under their lead ids."""
    found: dict[str, list[LeadEvent]] = {}
    for event in generate(leads, seed, HISTORY_END, HISTORY_DAYS):
        for accepted in accept(event, StatedIdentity(), topic="touchpoints", partition=3):
            found.setdefault(accepted.lead_id, []).append(accepted)
    return found


class BulkProducer:
    """Sends many records fast; a context manager, at whose end all are acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self._failed: list[Any] = []
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "message.max.bytes": 4 << 20,
                "queue.buffering.max.kbytes": 128 << 10,
            }
        )

    def __enter__(self) -> BulkProducer:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self._producer.flush(120)
        if self._failed and kind is None:
            raise SystemExit(f"{len(self._failed)} records were refused: {self._failed[0]}")

    def send(
        self, topic: str, key: bytes, value: bytes, partition: int, headers: Headers = ()
    ) -> None:
        marks = list(headers)
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=self._delivered, headers=marks
                )
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed.append(error)


def arguments(about: str) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--child-path",
        metavar="DIR",
        help="directory with another version's packages, as DIR/leadstream/streams and so on, for "
        "the processes that are measured",
    )
    return parser


def report(name: str, figures: dict[str, Any], *, as_json: bool) -> None:
    """Print what was measured, with when and on what."""
    told = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "streams": IMPLEMENTATION,
        **figures,
    }
    if as_json:
        click.echo(json.dumps(told, default=str))
        return
    for key, value in told.items():
        click.echo(f"{key:>36}  {value}")


def machine() -> str:
    """Return the name of the processor, as well as it is known."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", told.read_text()) if told.exists() else None
    return found[1] if found else platform.machine()


def quantiles(sizes: list[int]) -> dict[str, int]:
    """Return mean, median, 99th percentile and maximum."""
    ordered = sorted(sizes)
    return {
        "mean": sum(ordered) // len(ordered),
        "median": ordered[len(ordered) // 2],
        "p99": ordered[int(len(ordered) * 0.99)],
        "max": ordered[-1],
    }
