"""`leadstream serve` and `leadstream up --serve` as processes."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from process_trees import run, start, wait_until
from replayed import replayed_database

from leadstream.infra.child_server import free_port
from leadstream.sinks.clickhouse import DOOR_FILE

PAGE = Path(__file__).parents[2] / "infra/docs/bi.md"
STOP_WITHIN_S = 40


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / ".leadstream"
    replayed_database(path, leads=40)
    return path


@contextmanager
def started(log: Path, *arguments: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = start(log, *arguments)
    try:
        wait_until(
            lambda: process.poll() is not None or "Ctrl-C stops" in log.read_text(), "it is up"
        )
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def ask(port: int, data_dir: Path, sql: str) -> str:
    password = (data_dir / "clickhouse" / "serve.password").read_text().strip()
    token = b64encode(f"leadstream:{password}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}", sql.encode(), {"Authorization": f"Basic {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(answer.read().decode())


def by_the_page(port: int, data_dir: Path) -> str:
    """Run the command of the page where the data is, and return what it prints."""
    ((command,),) = [
        found.splitlines()
        for found in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    ]
    shown = subprocess.run(
        ["bash", "-c", command.replace(":8123", f":{port}").replace("curl", "curl -sS")],
        cwd=data_dir.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_serve_answers_until_it_is_told_to_stop(data_dir: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with started(log, "serve", "--data-dir", data_dir, "--port", port) as process:
        assert int(ask(port, data_dir, "SELECT count() FROM lead_state FINAL")) > 40
        assert "email" in by_the_page(port, data_dir)
        # Our own commands go through its door meanwhile.
        beside = run("funnel", "--by", "none", "--data-dir", data_dir)
        assert beside.returncode == 0, beside.stderr
        second = run("serve", "--data-dir", data_dir, "--port", free_port())
        assert second.returncode == 1
        assert "is in use by process" in second.stderr
        assert "`leadstream up` with --serve" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_WITHIN_S) == 0
    told = log.read_text()
    password = (data_dir / "clickhouse" / "serve.password").read_text().strip()
    assert "serve.password" in told
    assert password not in told
    assert told.endswith("stopped\n")
    assert not (data_dir / "clickhouse" / DOOR_FILE).exists()
    with pytest.raises(urllib.error.URLError):
        ask(port, data_dir, "SELECT 1")


def test_up_serves_as_well(tmp_path: Path) -> None:
    port, data_dir = free_port(), tmp_path / "data"
    config = tmp_path / "settings.yaml"
    config.write_text(f"serve_port: {port}\n")
    options = ["--serve", "--port", free_port(), "--data-dir", data_dir]
    with started(tmp_path / "log", "--config", config, "up", *options) as process:
        assert f"http://127.0.0.1:{port}" in (tmp_path / "log").read_text()
        assert ask(port, data_dir, "SELECT count() FROM lead_state") == "0\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_WITHIN_S) == 0


def test_a_server_needs_no_front(tmp_path: Path) -> None:
    told = run("up", "--serve", "--clickhouse", "http://127.0.0.1:1", "--data-dir", tmp_path)
    assert told.returncode == 2
    assert "answers by itself" in told.stderr
