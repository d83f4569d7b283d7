"""The compose file cannot be started where there is no Docker engine; what can be held, is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from leadstream.infra.cli import COMMANDS
from leadstream.infra.ops import probe
from leadstream.schemas.settings import ENV_PREFIX, Settings

INFRA = Path(__file__).parents[2] / "infra"
LEADSTREAM_SERVICES = {"set-up", "worker", "sink"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load((INFRA / "compose.yaml").read_text("utf-8"))
    return document


def test_the_parts_of_a_production_set_up_are_there(compose: dict[str, Any]) -> None:
    assert compose["services"].keys() == {
        "kafka",
        "schema-registry",
        "clickhouse",
        "grafana",
        *LEADSTREAM_SERVICES,
    }
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2


def test_every_setting_exists_and_is_valid(compose: dict[str, Any]) -> None:
    for name in LEADSTREAM_SERVICES:
        environment = compose["services"][name]["environment"]
        values = {key.removeprefix(ENV_PREFIX).lower(): value for key, value in environment.items()}
        Settings(**values)


def test_every_command_exists(compose: dict[str, Any]) -> None:
    services = compose["services"]
    steps = services["set-up"]["command"][0].split(";")
    called = [shlex.split(step)[1] for step in steps]
    called += [services[name]["command"][0] for name in ("worker", "sink")]
    assert called == ["topics", "schemas", "migrate", "worker", "sink"]
    assert set(called) <= COMMANDS.keys()


def test_workers_and_sinks_are_asked_whether_they_are_ready(compose: dict[str, Any]) -> None:
    for name, options in (("worker", []), ("sink", ["--sink"])):
        asked = compose["services"][name]["healthcheck"]["test"]
        assert asked == ["CMD", "python", "-m", probe.__name__, "ready", *options]
        assert probe.main([*asked[4:]]) in (0, 1)


def test_a_stop_is_given_more_time_than_it_takes(compose: dict[str, Any]) -> None:
    for name in ("worker", "sink"):
        granted_s = float(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert granted_s > Settings().shutdown_timeout_s


def test_no_password_has_a_default(compose: dict[str, Any]) -> None:
    found = 0
    for service in compose["services"].values():
        for key, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                found += 1
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), key
    assert found == 7


def test_each_process_has_the_passwords_that_it_needs_and_no_other(compose: dict[str, Any]) -> None:
    needed = {
        "worker": set(),
        "sink": {"LEADSTREAM_CLICKHOUSE_WRITER_PASSWORD"},
        "set-up": {
            "LEADSTREAM_CLICKHOUSE_PASSWORD",
            "LEADSTREAM_CLICKHOUSE_WRITER_PASSWORD",
            "LEADSTREAM_CLICKHOUSE_ANALYST_PASSWORD",
        },
    }
    for name, passwords in needed.items():
        given = compose["services"][name]["environment"]
        assert {key for key in given if key.endswith("PASSWORD")} == passwords


def test_nothing_listens_beyond_this_machine(compose: dict[str, Any]) -> None:
    ports = [p for service in compose["services"].values() for p in service.get("ports", ())]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_whatever_is_waited_for_has_a_health_check_or_ends(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other], (name, other)
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no", (name, other)


def test_data_lies_in_declared_volumes_and_images_are_pinned(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (INFRA / source).is_dir() and volume.endswith(":ro"), volume
            else:
                assert source in compose["volumes"]
        image, _, tag = service["image"].partition(":")
        assert image == "leadstream" or re.search(r"\d+\.\d+", tag), service["image"]


def test_the_image_runs_without_root_and_gets_every_package() -> None:
    dockerfile = (INFRA / "Dockerfile").read_text("utf-8")
    final = dockerfile.rpartition("\nFROM ")[2]
    assert "\nUSER leadstream\n" in final
    copied = set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE))
    assert copied == {"infra", "schemas", "sinks", "streams"}
