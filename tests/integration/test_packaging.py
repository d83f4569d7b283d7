"""The wheel holds every module and data file, and its command runs without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from leadstream.infra.compiled_build import GROUP, compiled_modules
from leadstream.schemas.versions import NAMES

ROOT = Path(__file__).parents[2]
MAPPED = ("infra", "schemas", "sinks", "streams")
NOT_SHIPPED = {".md", ".sh", ".pyx"}
BUILT = ("*.so", "*.pyd", "_avro.c", "_ids.c")  # what an editable installation leaves in the tree
BUILD_TIMEOUT_S = 900.0
"""mypyc and the C compiler take a minute or two of a core."""
OUTSIDE = {
    name: value
    for name, value in os.environ.items()
    if name != "PYTHONPATH" and not name.startswith("LEADSTREAM_")
}
"""The environment of somebody who has neither this checkout nor the wheel under test."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that no other test sees what a build leaves behind."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", *BUILT)
    for top in MAPPED:
        shutil.copytree(ROOT / top, source / top, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    return source


def built(source: Path, made: Path, *what: str, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", *what, "--outdir", str(made), str(source)],
        check=True,
        cwd=source,
        env={**OUTSIDE, **environment},
        capture_output=True,
        timeout=BUILD_TIMEOUT_S,
    )
    (wheel,) = made.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as for a platform without a wheel.

    `infra/check.sh` has built one that way, and says where: LEADSTREAM_TEST_WHEEL.
    """
    given = os.environ.get("LEADSTREAM_TEST_WHEEL")
    return Path(given) if given else built(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_borrowed_libraries(wheel, tmp_path_factory.mktemp("venv"))


def with_borrowed_libraries(wheel: Path, home: Path) -> Path:
    """Return a virtual environment with the wheel, which borrows this one's libraries."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
            *("--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)),
        ],
        check=True,
        env=OUTSIDE,
        timeout=120,
    )
    (site_packages,) = home.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "bin/leadstream"), *arguments],
        check=False,
        cwd=installed,
        env=OUTSIDE,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("leadstream/")}
    in_tree = {
        f"leadstream/{path.relative_to(ROOT).as_posix()}"
        for top in MAPPED
        for path in (ROOT / top).rglob("*")
        if path.is_file()
        and not {"__pycache__", "docs"} & set(path.parts)
        and path.suffix not in NOT_SHIPPED
        and not any(path.match(pattern) for pattern in BUILT)
        and path.name not in ("compose.yaml", "Dockerfile", "Dockerfile.dockerignore")
    }
    extensions = {name for name in packed if name.endswith((".so", ".pyd"))}
    assert packed - extensions == in_tree
    compiled = {f"leadstream/{path.with_suffix('').as_posix()}" for path in compiled_modules(ROOT)}
    assert {name.partition(".")[0] for name in extensions} == compiled | {
        f"{GROUP.replace('.', '/')}__mypyc",
        "leadstream/schemas/_avro",
        "leadstream/streams/lifecycle/_ids",
    }


def test_the_installed_command_runs_without_the_checkout(installed: Path) -> None:
    version = run(installed, "--version")
    assert version.returncode == 0, version.stderr
    assert version.stdout.startswith("leadstream, version ")
    where = subprocess.run(
        [str(installed / "bin/python"), "-c", "import leadstream.infra as i; print(i.__file__)"],
        check=True,
        cwd=installed,
        env=OUTSIDE,
        capture_output=True,
        text=True,
    )
    assert str(installed) in where.stdout


def test_the_installed_command_finds_its_data_files(installed: Path) -> None:
    checked = run(installed, "schemas", "check")
    assert checked.returncode == 0, checked.stderr
    assert all(f"{name}: every version" in checked.stdout for name in NAMES)
    program = (
        "from leadstream.infra.topics_file import load_plan;"
        "from leadstream.schemas.settings import Settings; print(len(load_plan(Settings()).topics))"
    )
    subprocess.run(
        [str(installed / "bin/python"), "-c", program], check=True, cwd=installed, env=OUTSIDE
    )


ROUND_TRIP = """
from leadstream.schemas import native
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import LeadEvent, Touchpoint
from leadstream.streams.domain import lead
from leadstream.streams.models import load_models

event = Touchpoint(event_id="e", event_time=1, type="page_viewed", properties={"a": "b"})
value = Encoder("touchpoint", "touchpoints", SingleObject()).encode(event)
assert Decoder("touchpoint", SingleObject()).decode(value) == event
record = lead.new_record("l")
of_lead = LeadEvent(lead_id="l", event_id="e", occurred_at=1, touchpoint=event)
assert lead.absorb(record, [of_lead], load_models(None), lead.Limits())
print(native.AVAILABLE, lead.__file__.rpartition(".")[2])
print(value.hex(), lead.encode_record(record).hex())
"""


def round_trip(installed: Path) -> list[str]:
    done = subprocess.run(
        [str(installed / "bin/python"), "-c", ROUND_TRIP],
        check=True,
        cwd=installed,
        env=OUTSIDE,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_without_a_c_compiler_it_installs_and_writes_the_same(
    source: Path, installed: Path, tmp_path: Path
) -> None:
    codec, domain, *written = round_trip(installed)
    assert (codec, domain) == ("True", "so")
    wheel = built(source, tmp_path / "dist", "--wheel", CC=str(shutil.which("false")))
    home = with_borrowed_libraries(wheel, tmp_path / "venv")
    assert round_trip(home) == ["False", "py", *written]
