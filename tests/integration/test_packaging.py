"""The wheel holds every module and data file, and its command runs without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadstream.schemas.versions import NAMES

ROOT = Path(__file__).parents[2]
MAPPED = ("infra", "schemas", "sinks", "streams")
NOT_SHIPPED = {".md", ".sh"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that no other test sees what a build leaves behind."""
    source = tmp_path_factory.mktemp("source")
    for top in MAPPED:
        shutil.copytree(ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    made = source / "dist"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(made), str(source)],
        check=True,
        cwd=source,
        capture_output=True,
        timeout=300,
    )
    (built,) = made.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A virtual environment with the wheel, which borrows this one's libraries."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
            *("--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)),
        ],
        check=True,
        timeout=120,
    )
    (site_packages,) = home.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    yield home


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LEADSTREAM_")}
    return subprocess.run(
        [str(installed / "bin/leadstream"), *arguments],
        check=False,
        cwd=installed,
        env=environment,
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
        and path.name not in ("compose.yaml", "Dockerfile", "Dockerfile.dockerignore")
    }
    assert packed == in_tree


def test_the_installed_command_runs_without_the_checkout(installed: Path) -> None:
    version = run(installed, "--version")
    assert version.returncode == 0, version.stderr
    assert version.stdout.startswith("leadstream, version ")
    where = subprocess.run(
        [str(installed / "bin/python"), "-c", "import leadstream.infra as i; print(i.__file__)"],
        check=True,
        cwd=installed,
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
    subprocess.run([str(installed / "bin/python"), "-c", program], check=True, cwd=installed)
