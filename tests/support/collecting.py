"""A collector as a process, and what it put on Kafka; leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from kafka import KafkaConsumer, TopicPartition
from pipeline import LEADSTREAM
from prometheus_client.parser import text_string_to_metric_families

from leadstream.infra.child_server import free_port
from leadstream.infra.topics import apply_topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.settings import Settings, load_settings
from leadstream.schemas.topics import SCHEMA_OF

WRITE_KEY = "write-key-of-the-website"
SECRET = "secret-of-the-crm"
DEADLINE_S = 60.0
SOURCES = """\
sources:
  - {name: website, kind: segment, write_keys: {variable: WEBSITE_KEY}, rate: 1000000}
  - {name: crm, kind: hubspot, secrets: {variable: CRM_SECRET}}
"""


class Collecting:
    """Topics under a prefix, and a collector that may be killed and started again.

    Args:
        settings: of the collector, beside Kafka and ports.
    """

    def __init__(self, bootstrap: str, prefix: str, directory: Path, **settings: Any) -> None:
        self.settings: Settings = load_settings(
            kafka_bootstrap=bootstrap, topic_prefix=prefix, topic_partitions=4
        )
        self.port, self.web_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._given = settings
        self._starts = 0
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Collecting:
        apply_topics(self.settings)
        (self._directory / "sources.yaml").write_text(SOURCES)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    @property
    def log(self) -> str:
        paths = sorted(self._directory.glob("collect-*.log"))
        return "".join(path.read_text("utf-8", "replace") for path in paths)

    def start(self, *, until_ready: bool = True) -> None:
        """Start it, and wait until it takes requests."""
        given = {
            "kafka_bootstrap": self.settings.kafka_bootstrap,
            "topic_prefix": self.settings.topic_prefix,
            "collect_sources_file": self._directory / "sources.yaml",
            "collect_port": self.port,
            "collect_web_port": self.web_port,
            **self._given,
        }
        environment = {f"LEADSTREAM_{name.upper()}": str(value) for name, value in given.items()}
        self._starts += 1
        with (self._directory / f"collect-{self._starts}.log").open("wb") as stream:
            self.child = subprocess.Popen(
                [LEADSTREAM, "collect"],
                env={
                    **os.environ,
                    **environment,
                    "WEBSITE_KEY": WRITE_KEY,
                    "CRM_SECRET": SECRET,
                },
                stdout=stream,
                stderr=stream,
            )
        if until_ready:
            self.await_true(lambda: self.ask("/ready")[0] == 200)

    def kill(self) -> None:
        """Kill it with SIGKILL, at whatever it is."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop, and return its exit code."""
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(DEADLINE_S)

    def ask(self, path: str) -> tuple[int, str]:
        """Return what its web server says; 0 where nothing answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.web_port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers and body of an answer."""
        request = Request(self.url + path, data=body, headers=headers, method="POST")  # noqa: S310
        try:
            with urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, dict(response.headers), response.read().decode()
        except HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()

    def await_true(self, holds: Callable[[], Any]) -> Any:
        """Return once it holds, while the collector lives."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := holds()):
            assert self.child is not None and self.child.poll() is None, self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.02)
        return found

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return each sample by its name and label values."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.ask("/metrics")[1])
            for sample in family.samples
        }

    def records(self, bare: str) -> list[Any]:
        """Return every record of a topic."""
        consumer = KafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        name = self.settings.topics.full(bare)
        partitions = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(at) < end for at, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                found += batch
        consumer.close()
        return found

    def events(self, bare: str) -> list[Any]:
        """Return every event of an input."""
        decoder = Decoder(SCHEMA_OF[bare], SingleObject())
        return [decoder.decode(record.value) for record in self.records(bare)]
