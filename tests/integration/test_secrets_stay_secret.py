"""No command shows a secret, also where everything fails: all that it prints is searched."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from process_trees import COMMAND, environment
from pydantic import SecretStr

from leadstream.infra.child_server import free_port
from leadstream.infra.cli import cli
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings, variable_of

SECRETS = {
    name: f"marked/{number}+s3cret@{name[-8:]}-and-long-enough"
    for number, (name, field) in enumerate(Settings.model_fields.items())
    if "SecretStr" in str(field.annotation)
}
USERS = {
    "kafka_username": "kafka-user",
    "schema_registry_username": "registry-user",
    "clickhouse_username": "clickhouse-user",
}
COMMANDS = [
    ["settings"],
    ["settings", "--format", "json"],
    ["topics", "show"],
    ["schemas", "register"],
    ["migrate"],
    ["migrate", "--create-users"],
    ["query", "SELECT 1"],
    ["funnel", "--format", "json"],
    ["sla"],
    ["leaks"],
    ["reasons"],
    ["lead", "l1"],
    ["serve"],
    ["collect"],
    ["ingest", "{events}"],
    ["dlq", "list"],
]
OF_SERVERS = [["migrate"], ["query", "SELECT 1"], ["schemas", "register"]]
EVENT = (
    '{"kind": "touchpoint", "event_id": "e1", "event_time": "2026-01-01T00:00:00Z", '
    '"lead_id": "l1", "type": "page_viewed"}\n'
)


class _Refusing(BaseHTTPRequestHandler):
    """Answers every request with a fault that tells nothing."""

    status = 403

    def do_GET(self) -> None:
        body = b'{"error_code": 40301, "message": "no"}'
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def variables(directory: Path, http: str) -> dict[str, str]:
    given = {
        **USERS,
        **SECRETS,
        "kafka_bootstrap": f"127.0.0.1:{free_port()}",
        "kafka_security": "SASL_PLAINTEXT",
        "schema_registry_url": http,
        "clickhouse_url": http,
        "data_dir": str(directory),
        "web_port": "0",
        "sink_web_port": "0",
    }
    return {variable_of(name): value for name, value in given.items()}


def forms(secret: str) -> set[str]:
    """How a secret may look: as it is, in a URL, as a header, in bytes."""
    pairs = {base64.b64encode(f"{user}:{secret}".encode()).decode() for user in USERS.values()}
    return {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], *pairs}


def assert_secret(said: str) -> None:
    for name, secret in SECRETS.items():
        for form in forms(secret):
            assert form not in said, name


def test_the_marked_secrets_are_all_there_are() -> None:
    assert {"kafka_password", "kafka_key_password", "clickhouse_password"} <= set(SECRETS)
    settings = Settings(**SECRETS, **USERS)
    assert all(isinstance(getattr(settings, name), SecretStr) for name in SECRETS)
    assert_secret(repr(settings) + str(settings) + str(settings.model_dump()))
    assert_secret(settings.model_dump_json())


@pytest.mark.parametrize("closed", [False, True], ids=["refusing", "closed"])
def test_no_command_that_fails_shows_a_secret(tmp_path: Path, refusing: str, closed: bool) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(EVENT)
    http = f"http://127.0.0.1:{free_port()}" if closed else refusing
    given = variables(tmp_path, http)
    for command in OF_SERVERS if closed else COMMANDS:
        arguments = [part.replace("{events}", str(events)) for part in command]
        result: Result = CliRunner().invoke(cli, arguments, env=given)
        assert_secret(result.output)
        assert_secret(repr(result.exception))
        if command[0] != "settings":
            assert result.exit_code != 0, (command, result.output)
            assert "Traceback" not in result.output


def test_no_process_that_fails_shows_a_secret(tmp_path: Path) -> None:
    given = variables(tmp_path, f"http://127.0.0.1:{free_port()}") | {
        "LEADSTREAM_LOG_LEVEL": "debug",
        "LEADSTREAM_LOG_FORMAT": "json",
    }
    running = [
        subprocess.Popen(
            [*COMMAND, command],
            env={**environment(), **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in ("worker", "sink")
    ]
    for process in running:
        said, _ = process.communicate(timeout=120)
        assert process.returncode not in (0, ExitCode.BUG), said
        assert_secret(said)


def test_a_wrong_setting_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "leadstream.yaml"
    lines = [f"{name}: {secret!r}" for name, secret in SECRETS.items()]
    for wrong in ("kafka_security: NONE", "no_such_key: 1", "kafka_password: [1, 2", "web_port: x"):
        file.write_text("\n".join([*lines, wrong]))
        result = CliRunner().invoke(cli, ["--config", str(file), "settings"], env={})
        assert result.exit_code != 0
        assert_secret(result.output + repr(result.exception))
