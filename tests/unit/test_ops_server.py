"""The web server of a worker or a sink, without either."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import ClientSession
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.ops.exits import exit_codes
from leadstream.infra.ops.listen import is_loopback
from leadstream.infra.ops.probe import ask
from leadstream.infra.ops.probes import Probes
from leadstream.infra.ops.server import OpsServer
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings, SettingsError

TOKEN = "correct-horse-battery"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  what a container listens on


@dataclass
class Part:
    stage: str = "lifecycle"
    joined: bool = True
    active: tuple[int, ...] = (0, 1)
    restoring: dict[int, float] = field(default_factory=dict)
    idle_s: float = 0.1


def unasked_port() -> dict[str, Any]:
    """A free port that counts as nobody's wish."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"web_port": probe.getsockname()[1]}


def settings_of(**given: Any) -> Settings:
    settings = Settings(**{name: value for name, value in given.items() if name != "web_port"})
    settings.__dict__["web_port"] = given.get("web_port", unasked_port()["web_port"])
    return settings


Answers = dict[str, tuple[int, str, Any]]


def answers_of(probes: Probes, settings: Settings, **headers: str) -> Answers:
    async def ask_all() -> Answers:
        found: Answers = {}
        async with OpsServer(settings, "web_port", probes) as server, ClientSession() as session:
            port = (server.address or "").rpartition(":")[2]
            for path in ("/health", "/ready", "/metrics", "/secrets"):
                url = f"http://127.0.0.1:{port}{path}"
                async with session.get(url, headers=headers) as response:
                    assert response.headers["Server"] == "leadstream"
                    kind = response.content_type
                    found[path] = response.status, kind, await response.text()
        return found

    return asyncio.run(ask_all())


def test_a_process_that_is_restored_is_ready() -> None:
    found = answers_of(Probes(lambda: [Part()], 60), settings_of())
    assert found["/health"][:2] == (200, "application/json")
    status, _, text = found["/ready"]
    assert status == 200
    assert json.loads(text) == {
        "ready": True,
        "reasons": [],
        "stages": {"lifecycle": {"joined": True, "active": [0, 1], "restoring": {}, "idle_s": 0.1}},
    }
    assert found["/secrets"][0] == 404


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part(joined=False), "stage lifecycle has not joined its group"),
        (
            Part(active=(0,), restoring={1: 0.42}),
            "stage lifecycle partition 1 is restoring, 42% done",
        ),
    ],
)
def test_a_process_that_restores_lives_but_is_not_ready(part: Part, reason: str) -> None:
    found = answers_of(Probes(lambda: [Part(stage="identify"), part], 60), settings_of())
    assert found["/health"][0] == 200
    assert found["/ready"][0] == 503
    assert json.loads(found["/ready"][2])["reasons"] == [reason]


def test_a_process_that_has_no_parts_yet_is_starting() -> None:
    found = answers_of(Probes(list, 60), settings_of())
    assert found["/health"][0] == 200
    assert found["/ready"][0] == 503 and "starting" in found["/ready"][2]


def test_a_process_that_stops_is_not_ready() -> None:
    probes = Probes(lambda: [Part()], 60)
    probes.stopping = True
    found = answers_of(probes, settings_of())
    assert found["/ready"][0] == 503 and "stopping" in found["/ready"][2]


def test_a_part_that_does_not_turn_is_not_healthy() -> None:
    found = answers_of(Probes(lambda: [Part(), Part("identify", idle_s=61)], 60), settings_of())
    assert found["/health"][0] == 503
    assert json.loads(found["/health"][2])["reasons"] == ["stage identify has not turned for 61 s"]


def test_metrics_are_prometheus_text_with_the_version() -> None:
    status, kind, text = answers_of(Probes(lambda: [Part()], 60), settings_of())["/metrics"]
    assert (status, kind) == (200, "text/plain")
    assert re.search(r'^leadstream_build_info\{python="3[^"]+",version="[^"]+"\} 1\.0$', text, re.M)
    assert "process_resident_memory_bytes" in text or sys.platform != "linux"


@pytest.mark.parametrize("given", ["", TOKEN, f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}"])
def test_without_the_token_only_health_answers(given: str) -> None:
    headers = {"Authorization": given} if given else {}
    found = answers_of(Probes(lambda: [Part()], 60), settings_of(web_token=TOKEN), **headers)
    assert found["/health"][0] == 200
    for path in ("/ready", "/metrics", "/secrets"):
        assert found[path][0] == 401
        assert "Authorization: Bearer" in found[path][2] and TOKEN not in found[path][2]


def test_with_the_token_everything_answers_also_to_the_network() -> None:
    settings = settings_of(web_token=TOKEN, web_host=ALL_ADDRESSES)
    bearer = f"Bearer {TOKEN}"
    found = answers_of(Probes(lambda: [Part()], 60), settings, Authorization=bearer)
    assert [found[path][0] for path in ("/health", "/ready", "/metrics")] == [200, 200, 200]


@pytest.mark.parametrize("host", [ALL_ADDRESSES, "192.0.2.7", "::"])
def test_an_address_of_the_network_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=f"web_host: {host} .*LEADSTREAM_WEB_TOKEN"):
        OpsServer(settings_of(web_host=host), "web_port", Probes(list, 60))


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, (ALL_ADDRESSES, "::", "10.0.0.1", "worker-1", "")))


def test_port_0_means_no_server() -> None:
    assert OpsServer(Settings(web_port=0), "web_port", Probes(list, 60)).address is None


@pytest.fixture
def taken_port() -> Any:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_is_refused(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=f"web_port: cannot listen on 127.0.0.1:{taken_port}"):
        OpsServer(Settings(web_port=taken_port), "web_port", Probes(list, 60))


def test_a_default_port_that_is_taken_moves_to_the_next_free_one(taken_port: int) -> None:
    server = OpsServer(settings_of(web_port=taken_port), "web_port", Probes(list, 60))
    host, _, port = (server.address or "").rpartition(":")
    assert host == "127.0.0.1" and taken_port < int(port) <= taken_port + 100
    asyncio.run(server.stop())


def test_the_probe_command_asks_with_the_token() -> None:
    part = Part()

    async def both() -> list[tuple[bool, str]]:
        settings = settings_of(web_token=TOKEN)
        found = []
        async with OpsServer(settings, "web_port", Probes(lambda: [part], 60)) as server:
            port = int((server.address or "").rpartition(":")[2])
            found.append(await asyncio.to_thread(ask, settings, "/ready", port))
            part.joined = False
            found.append(await asyncio.to_thread(ask, settings, "/ready", port))
        found.append(await asyncio.to_thread(ask, settings, "/ready", port))
        return found

    ready, unready, gone = asyncio.run(both())
    assert ready[0] and '"ready": true' in ready[1]
    assert not unready[0] and "has not joined" in unready[1]
    assert not gone[0] and "Connection refused" in gone[1]


class ForeseenError(Exception):
    exit_code = ExitCode.TEMPORARY


def raise_bug() -> None:
    raise ZeroDivisionError("a bug")


def raise_foreseen() -> None:
    raise ForeseenError("the database is away")


def raise_setting() -> None:
    raise SettingsError("no such key")


@pytest.mark.parametrize(
    ("fault", "code", "shown"),
    [
        (raise_bug, ExitCode.BUG, ""),
        (raise_foreseen, ExitCode.TEMPORARY, "Error: the database is away\n"),
        (raise_setting, ExitCode.CONFIGURATION, "Error: no such key\n"),
    ],
)
def test_a_fault_at_start_has_its_code(fault: Callable[[], None], code: int, shown: str) -> None:
    @click.command()
    def command() -> None:
        with exit_codes(ForeseenError):
            fault()

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stderr) == (code, shown)


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({"CLICKHOUSE_URL": "http://127.0.0.1:1"}, ExitCode.TEMPORARY, "http://127.0.0.1:1"),
        ({"WEB_HOST": ALL_ADDRESSES}, ExitCode.CONFIGURATION, "set LEADSTREAM_WEB_TOKEN"),
        ({"KAFKA_BOOTSTRAP": "nowhere"}, ExitCode.CONFIGURATION, "is not HOST:PORT"),
    ],
)
def test_a_sink_that_cannot_start_says_whether_a_restart_helps(
    variables: dict[str, str], code: ExitCode, told: str, tmp_path: Path
) -> None:
    environment = {f"LEADSTREAM_{name}": value for name, value in variables.items()}
    environment["LEADSTREAM_DATA_DIR"] = str(tmp_path)
    result = CliRunner().invoke(cli, ["sink"], env=environment)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("Error: ") and told in result.stderr


WORKER = """
import asyncio, sys, time
import mode
from leadstream.infra.ops.worker import run_worker
from leadstream.schemas.logs import set_up_logging
from leadstream.schemas.settings import Settings
from leadstream.streams.app import create_app

class Beside(mode.Service):
    async def on_started(self):
        print("up", flush=True)
        if sys.argv[1] == "crash":
            self.add_future(self.fall())

    async def fall(self):
        raise ZeroDivisionError("a bug beside the engines")

    async def on_stop(self):
        if sys.argv[1] == "hang":
            time.sleep(600)

settings = Settings(web_port=0, shutdown_timeout_s=float(sys.argv[2]))
set_up_logging(settings)
app = create_app(settings, [])
app.service(Beside(beacon=app.beacon))
run_worker(app, settings)
"""


def worker_process(how: str, shutdown_timeout_s: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, how, str(shutdown_timeout_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def test_a_worker_whose_stop_hangs_is_ended_with_a_trace() -> None:
    process = worker_process("hang", 0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.TEMPORARY, said
    assert "did not stop within 0.5 s" in said and "in on_stop" in said


def test_a_second_signal_ends_a_worker_at_once() -> None:
    process = worker_process("hang", 600)
    # Signals that come together are one; so it is told until it has been told twice.
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said


def test_a_crash_beside_the_engines_is_a_bug_with_its_traceback() -> None:
    process = worker_process("crash", 600)
    _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.BUG, said
    assert "ZeroDivisionError: a bug beside the engines" in said
