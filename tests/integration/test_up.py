from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from process_trees import processes_of, run, start, wait_until, workers_of

from leadstream.infra.child_server import free_port
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings, load_settings
from leadstream.streams.ingest.producer import send_events

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

STOP_WITHIN_S = 40


class Up:
    """A running `leadstream up`."""

    def __init__(self, directory: Path, *options: Any) -> None:
        self.port = free_port()
        self.data_dir = directory / "data"
        self.log = directory / "up.log"
        self.settings: Settings = load_settings(kafka_bootstrap=f"127.0.0.1:{self.port}")
        self.process: subprocess.Popen[bytes] = start(
            self.log, "up", "--port", self.port, "--data-dir", self.data_dir, *options
        )
        wait_until(
            lambda: self.process.poll() is not None or "Ctrl-C stops" in self.log.read_text(),
            "up is up",
        )
        assert self.process.poll() is None, self.log.read_text()

    def send(self, lead_id: str) -> None:
        event = Touchpoint(
            event_id=f"e-{lead_id}", event_time=1_772_443_800_000, type="demo_requested",
            lead_id=lead_id, channel="direct",
        )  # fmt: skip
        assert asyncio.run(send_events(self.settings, [event])) == 1

    def mqls(self) -> int:
        outcome = run("funnel", "--by", "none", "--format", "json", "--data-dir", self.data_dir)
        assert outcome.returncode == 0, outcome.stderr
        return int(json.loads(outcome.stdout)[0]["mql"])

    def states(self) -> dict[str, Any]:
        """Return the latest record of each lead in the topic lead.state."""
        consumer = KafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        decoder = Decoder("lead_state", SingleObject())
        try:
            numbers = consumer.partitions_for_topic("lead.state") or ()
            partitions = [TopicPartition("lead.state", number) for number in numbers]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found = {}
            while any(consumer.position(p) < end for p, end in ends.items()):
                for records in consumer.poll(timeout_ms=500).values():
                    found |= {r.key.decode(): decoder.decode(r.value) for r in records}
            return found
        finally:
            consumer.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(STOP_WITHIN_S)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not processes_of(running.data_dir), "its children are gone", 30)


def test_an_event_comes_out_as_a_state_and_as_an_answer_while_it_runs(up: Up) -> None:
    up.send("lead-1")
    wait_until(lambda: up.mqls() == 1, "the funnel has the lead")
    assert up.states()["lead-1"].stage == "mql"
    told = run("lead", "lead-1", "--format", "json", "--data-dir", up.data_dir)
    assert json.loads(told.stdout)["state"]["stage"] == "mql"
    refused = run("query", "DROP TABLE lead_state", "--data-dir", up.data_dir)
    assert refused.returncode == 1
    assert "DROP is not allowed here" in refused.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_and_keeps_what_it_had(up: Up, how: signal.Signals) -> None:
    up.send("lead-1")
    wait_until(lambda: up.mqls() == 1, "the funnel has the lead")
    assert up.stop(how) == 0, up.log.read_text()
    assert processes_of(up.data_dir) == {}
    assert "Traceback" not in up.log.read_text()
    assert up.mqls() == 1


def test_a_second_one_on_the_same_data_says_who_holds_it(up: Up) -> None:
    outcome = run("up", "--port", free_port(), "--data-dir", up.data_dir)
    assert outcome.returncode == 1
    assert f"{up.data_dir} is in use by pid {up.process.pid} (" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_crashed_worker_is_started_again_and_goes_on(up: Up) -> None:
    (worker,) = workers_of(up.data_dir)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: workers_of(up.data_dir) not in ([], [worker]), "another worker runs")
    up.send("lead-1")
    wait_until(lambda: up.mqls() == 1, "the funnel has the lead")
    assert "worker-1 ended" in up.log.read_text()


def test_when_it_is_killed_its_children_end_too(up: Up) -> None:
    assert len(processes_of(up.data_dir)) == 3
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not processes_of(up.data_dir), "its children are gone", timeout_s=30)


def test_a_port_in_use_is_told_with_the_mend(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("up", "--port", port, "--data-dir", tmp_path / "data")
    assert outcome.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in outcome.stderr
    assert "choose another port" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_kafka_that_is_not_there_is_told_by_its_address(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    outcome = run("up", "--kafka", address, "--data-dir", tmp_path / "data")
    assert outcome.returncode == 1
    assert f"cannot reach Kafka at {address}" in outcome.stderr
    assert "Traceback" not in outcome.stderr
