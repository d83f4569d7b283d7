"""A worker and a sink as their supervisor sees them: probes, metrics, logs, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from kafka import KafkaProducer
from pipeline import LEADSTREAM, Pipeline
from prometheus_client.parser import text_string_to_metric_families

from leadstream.infra.child_server import free_port
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import TOUCHPOINTS

TOKEN = "correct-horse-battery"
PERSON = "ann.lee@example.com"
LEADS = 40
DEADLINE_S = 90
STOP_BOUND_S = 20
DAY_MS = 86_400_000


class Process:
    """One command with a web server of its own, and what it says there."""

    def __init__(self, name: str, settings: Settings, log: Path, **variables: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        given = {
            "kafka_bootstrap": settings.kafka_bootstrap,
            "topic_prefix": settings.topic_prefix,
            "data_dir": str(settings.data_dir),
            "log_format": "json",
            "shutdown_timeout_s": str(STOP_BOUND_S),
            **variables,
        }
        environment = {f"LEADSTREAM_{key.upper()}": value for key, value in given.items()}
        with log.open("wb") as stream:
            self.child = subprocess.Popen(
                [LEADSTREAM, name, "--web-port", str(port)],
                env={**os.environ, **environment},
                stdout=stream,
                stderr=stream,
            )

    def ask(self, path: str, token: str | None = None) -> tuple[int, str]:
        """Return status and body; 0 where nothing answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            request = Request(self.url + path, headers=headers)  # noqa: S310  our own address
            with urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def await_status(self, path: str, status: int, token: str | None = None) -> str:
        found = self.await_true(lambda: [a for a in [self.ask(path, token)] if a[0] == status])
        return str(found[0][1])

    def await_true(self, holds: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while not (found := holds()):
            assert self.child.poll() is None, self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.05)
        return found

    def metrics(self, token: str | None = None) -> dict[tuple[str, ...], float]:
        """Return each sample by its name and label values."""
        status, text = self.ask("/metrics", token)
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Return the exit code, and how long it took, seconds."""
        began = time.monotonic()
        self.child.send_signal(number)
        code = self.child.wait(DEADLINE_S)
        return code, time.monotonic() - began

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def pipeline(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    directory = tmp_path_factory.mktemp("operations")
    with Pipeline(kafka.bootstrap, prefix, directory, workers=0, topic_partitions=2) as made:
        made.send(
            Touchpoint(
                event_id=f"e-{lead}-{n}",
                event_time=1_700_000_000_000 + n * DAY_MS,
                type="page_viewed",
                lead_id=f"lead-{lead}",
                email=PERSON,
            )
            for n in (1, 0)
            for lead in range(LEADS)
        )
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        producer.send(prefix + TOUCHPOINTS, f"not Avro, but {PERSON}".encode(), b"lead-7").get(30)
        producer.close()
        yield made


@pytest.fixture
def start(pipeline: Pipeline, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start_one(name: str, **variables: str) -> Process:
        log = tmp_path / f"{name}-{len(started)}.log"
        started.append(Process(name, pipeline.settings, log, **variables))
        return started[-1]

    yield start_one
    for process in started:
        process.child.kill()
        process.child.wait()


def test_a_worker_tells_its_supervisor_how_it_stands_also_when_it_restores(
    start: Callable[..., Process],
) -> None:
    worker = start("worker", web_token=TOKEN)
    worker.await_status("/health", 200)
    assert worker.ask("/ready")[0] == 401
    assert worker.ask("/metrics", "wrong")[0] == 401
    assert not json.loads(worker.await_status("/ready", 503, TOKEN))["ready"]

    ready = json.loads(worker.await_status("/ready", 200, TOKEN))
    assert ready["stages"].keys() == {"identify", "lifecycle"}
    assert all(stage["active"] == [0, 1] for stage in ready["stages"].values())

    done = ("leadstream_records_in_total", "lifecycle", "lead.events")  # labels: stage, topic
    worker.await_true(lambda: worker.metrics(TOKEN).get(done, 0) >= 2 * LEADS)
    found = worker.await_true(
        lambda: [
            m
            for m in [worker.metrics(TOKEN)]
            if m.get(("leadstream_lag_records", "0", "lifecycle", "lead.events")) == 0
            and m.get(("leadstream_lag_records", "1", "lifecycle", "lead.events")) == 0
        ]
    )[0]
    assert found["leadstream_records_in_total", "identify", "touchpoints"] == 2 * LEADS + 1
    assert found["leadstream_records_out_total", "identify", "lead.events"] == 2 * LEADS
    assert found["leadstream_late_events_total", "reordered", "lifecycle"] == LEADS
    assert found["leadstream_active_partitions", "lifecycle"] == 2
    assert found["leadstream_restoring_partitions", "lifecycle"] == 0
    assert found["leadstream_restore_duration_seconds_count", "identify"] == 2
    assert found["leadstream_end_to_end_latency_seconds_count", "oldest", "lifecycle"] >= 2
    letters = {key[1:]: n for key, n in found.items() if key[0] == "leadstream_dead_letters_total"}
    ((kind, stage, topic),) = letters
    assert (stage, topic, sum(letters.values())) == ("identify", "touchpoints", 1)

    said = [line for line in worker.lines() if line.get("kind") == kind]
    assert [(line["topic"], line["stage"], line["lead_id"]) for line in said] == [
        ("touchpoints", "identify", "lead-7")
    ]
    code, took_s = worker.end(signal.SIGTERM)
    assert (code, took_s < STOP_BOUND_S) == (ExitCode.STOPPED, True), worker.log
    assert TOKEN not in worker.log and PERSON not in worker.log

    successor = start("worker")
    reasons: list[str] = []
    successor.await_true(lambda: is_ready(successor, reasons))
    assert any("has not joined its group" in r or "is restoring" in r for r in reasons)
    assert successor.metrics()["leadstream_restored_records_total", "lifecycle"] >= LEADS
    assert successor.end(signal.SIGINT)[0] == ExitCode.STOPPED


def is_ready(process: Process, reasons: list[str]) -> bool:
    """Ask once; collect the reasons why not."""
    status, body = process.ask("/ready")
    if status == 503:
        reasons.extend(json.loads(body)["reasons"])
    return status == 200


def test_a_sink_tells_its_supervisor_how_it_stands(start: Callable[..., Process]) -> None:
    sink = start("sink", web_token=TOKEN)
    start("worker")  # which gives it something to insert, whatever ran before
    assert sink.await_status("/health", 200)
    assert sink.ask("/ready")[0] == 401
    ready = json.loads(sink.await_status("/ready", 200, TOKEN))
    assert len(ready["stages"]["sink"]["active"]) > 2

    rows = {"touchpoints": 2 * LEADS, "dead_letters": 1}
    sink.await_true(lambda: rows.items() <= rows_of(sink.metrics(TOKEN)).items())
    found = sink.metrics(TOKEN)
    assert found["leadstream_sink_insert_duration_seconds_count",] >= 1
    assert found["leadstream_sink_delay_seconds_count", "oldest"] >= 1
    sink.await_true(lambda: not sum(lags_of(sink.metrics(TOKEN))))
    assert sink.metrics(TOKEN)["leadstream_sink_buffered_records",] == 0

    code, took_s = sink.end(signal.SIGTERM)
    assert (code, took_s < STOP_BOUND_S) == (ExitCode.STOPPED, True), sink.log
    assert "sink stopped; rows inserted" in sink.log
    assert TOKEN not in sink.log and PERSON not in sink.log


def rows_of(metrics: dict[tuple[str, ...], float]) -> dict[str, float]:
    name = "leadstream_sink_rows_total"
    return {key[1]: value for key, value in metrics.items() if key[0] == name}


def lags_of(metrics: dict[tuple[str, ...], float]) -> list[float]:
    return [value for key, value in metrics.items() if key[0] == "leadstream_lag_records"]


CANNOT_START = (
    ("worker", {"kafka_bootstrap": "127.0.0.1:1"}, ExitCode.TEMPORARY, "cannot reach Kafka"),
    ("worker", {"topic_prefix": "none."}, ExitCode.CONFIGURATION, "leadstream topics apply"),
    ("sink", {"kafka_bootstrap": "127.0.0.1:1"}, ExitCode.TEMPORARY, "cannot reach Kafka"),
    ("sink", {"topic_prefix": "none."}, ExitCode.CONFIGURATION, "leadstream topics apply"),
)


def test_a_start_that_cannot_succeed_ends_with_the_code_that_says_so(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    processes = [
        start(command, **{"data_dir": str(tmp_path / f"data-{number}"), **variables})
        for number, (command, variables, _, _) in enumerate(CANNOT_START)
    ]
    for process, (_, _, code, told) in zip(processes, CANNOT_START, strict=True):
        assert process.child.wait(DEADLINE_S) == code, process.log
        critical = [line for line in process.lines() if line["level"] == "CRITICAL"]
        assert len(critical) == 1 and told in critical[0]["message"]
        assert "exception" not in critical[0]
