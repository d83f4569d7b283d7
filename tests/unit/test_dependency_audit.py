"""The audit of the build fails where it must, and says so where it cannot look."""

from __future__ import annotations

from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from dependency_audit import PROBE, Pins, floor_faults, license_faults, main, runtime

OLD: Pins = {"urllib3": "1.26.4", "click": "8.2.0"}
TOLD = {
    ("jinja2", "2.11.0"): {"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"]},
    ("urllib3", "1.26.4"): {"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"]},
}


def service(name: str, pins: Pins) -> list[dict[str, Any]]:
    """A service in pip-audit's words."""
    return [
        {
            "name": package,
            "version": version,
            "vulns": [TOLD[package, version]] if (package, version) in TOLD else [],
        }
        for package, version in pins.items()
    ]


def silent(name: str, pins: Pins) -> list[dict[str, Any]]:
    """A service that skips everything, as one does that cannot be asked."""
    return [{"name": name, "skip_reason": "not found"} for name in pins]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("".join(f"{name}=={version}  # old\n" for name, version in OLD.items()))
    return path


def test_a_known_vulnerability_fails_with_its_id_and_mend(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--requirements", str(old)], service) == 1
    said = capsys.readouterr().err
    assert "urllib3 1.26.4: PYSEC-2021-108: fixed in 1.26.5" in said
    assert "2 packages audited, 1 known vulnerabilities" in said


def test_without_an_answer_it_says_so_and_does_not_fail(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str, pins: Pins) -> list[dict[str, Any]]:
        raise RuntimeError("no such host")

    for ask in (silent, broken):
        assert main(["--requirements", str(old)], ask) == 0
        assert "DEPENDENCIES NOT AUDITED" in capsys.readouterr().err


def test_the_second_service_is_asked_where_the_first_knows_nothing(old: Path) -> None:
    asked = []

    def second_only(name: str, pins: Pins) -> list[dict[str, Any]]:
        asked.append((name, pins == PROBE))
        return (silent if name == "pypi" else service)(name, pins)

    assert main(["--requirements", str(old)], second_only) == 1
    assert asked == [("pypi", True), ("osv", True), ("osv", False)]


class Packaged(metadata.PathDistribution):
    def __init__(self, **fields: str) -> None:
        self._fields = fields

    @property
    def metadata(self) -> Any:
        message = Message()
        for name, value in {"Version": "1", **self._fields}.items():
            message[name.replace("_", "-")] = value
        return message


def test_a_license_that_is_not_on_the_list_fails() -> None:
    assert license_faults({"a": Packaged(License_Expression="MIT")}) == []
    assert license_faults({"a": Packaged(License_Expression="GPL-2.0 OR MIT")}) == []
    for said in ("AGPL-3.0-only", "MIT AND GPL-3.0-only", "Commercial", ""):
        (fault,) = license_faults({"a": Packaged(License_Expression=said)})
        assert fault.startswith("a 1: license")


def test_our_own_requirements_have_allowed_licenses_and_least_versions() -> None:
    found = runtime()
    assert {"aiokafka", "faust-streaming", "chdb", "confluent-kafka"} <= set(found)
    assert license_faults(found) == []
    assert floor_faults() == []
