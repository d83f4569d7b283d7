"""The tree is what the contract says, and the packaging names all of it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAPPED = {"infra", "schemas", "sinks", "streams"}
CONTRACTED = {*MAPPED, "tests", "pyproject.toml", "README.md"}
NOT_SHIPPED = {"infra/compose.yaml", "infra/docs/chaos-report.json"}
DATA_SUFFIXES = {
    ".avsc", ".json", ".sql", ".xml", ".yaml", ".yml", ".toml", ".csv", ".html", ".css", ".js",
}  # fmt: skip


def setuptools_table() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    found: dict[str, Any] = table["setuptools"]
    return found


def directory_of(package: str) -> Path:
    return ROOT.joinpath(*package.removeprefix("leadstream.").split("."))


def test_the_listed_packages_are_those_of_the_tree() -> None:
    in_tree = {
        "leadstream." + ".".join(path.parent.relative_to(ROOT).parts)
        for top in MAPPED
        for path in (ROOT / top).rglob("__init__.py")
    }
    listed = setuptools_table()["packages"]
    assert set(listed) == in_tree
    assert listed == sorted(listed)


def test_every_directory_with_modules_is_a_package() -> None:
    for top in MAPPED:
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), module.parent


def test_the_mapping_names_the_top_level_directories() -> None:
    assert setuptools_table()["package-dir"] == {f"leadstream.{top}": top for top in MAPPED}


def test_package_data_covers_every_data_file_and_nothing_that_is_not_there() -> None:
    shipped: set[str] = set()
    for package, patterns in setuptools_table()["package-data"].items():
        for pattern in patterns:
            found = [p.relative_to(ROOT).as_posix() for p in directory_of(package).glob(pattern)]
            assert found, (package, pattern)
            shipped.update(found)
    in_tree = {
        path.relative_to(ROOT).as_posix()
        for top in MAPPED
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix in DATA_SUFFIXES
    }
    assert shipped == in_tree - NOT_SHIPPED


def test_every_extension_is_named_and_may_be_missing() -> None:
    named = setuptools_table()["ext-modules"]
    sources = {
        path.relative_to(ROOT).as_posix() for t in MAPPED for path in (ROOT / t).rglob("*.pyx")
    }
    assert {source for extension in named for source in extension["sources"]} == sources
    for extension in named:
        (source,) = extension["sources"]
        package, _, module = extension["name"].rpartition(".")
        assert directory_of(package) / f"{module}.pyx" == ROOT / source
        assert extension["optional"] is True
        assert (ROOT / source).with_suffix(".pyi").is_file()


def test_the_top_level_is_as_contracted() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tops = {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    assert {top for top in tops if not top.startswith(".")} - {"LICENSE"} == CONTRACTED
