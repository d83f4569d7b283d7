"""What is compiled into a wheel may hold no class whose making mypyc passes over."""

from __future__ import annotations

import ast
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from leadstream.infra.compiled_build import DOMAIN, INTERPRETED, compiled_modules

ROOT = Path(__file__).parents[2]
MADE_ELSEWHERE = {"Struct", "BaseModel", "TypedDict"}


def module_name(path: Path) -> str:
    return ".".join(("leadstream", *path.with_suffix("").parts))


@pytest.mark.parametrize("path", compiled_modules(ROOT), ids=str)
def test_a_compiled_module_defines_no_struct_and_no_model(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text())
    for made in ast.walk(tree):
        if isinstance(made, ast.ClassDef):
            bases = {
                base.attr if isinstance(base, ast.Attribute) else ast.unparse(base)
                for base in made.bases
            }
            assert not made.keywords, f"{made.name}: mypyc drops {ast.unparse(made.keywords[0])}"
            assert not bases & MADE_ELSEWHERE, made.name


def test_what_stays_interpreted_is_there() -> None:
    assert {path.name for path in (ROOT / DOMAIN).glob("*.py")} >= INTERPRETED


@pytest.mark.skipif(
    "LEADSTREAM_TEST_SHIPPED" not in os.environ, reason="only the gate's build is a wheel"
)
@pytest.mark.parametrize("path", compiled_modules(ROOT), ids=str)
def test_the_wheel_under_test_is_compiled(path: Path) -> None:
    shipped = os.environ["LEADSTREAM_TEST_SHIPPED"]
    origin = import_module(module_name(path)).__file__
    assert origin is not None
    assert Path(origin).suffix in (".so", ".pyd")
    assert Path(origin).is_relative_to(Path(shipped).resolve())
    assert module_name(path) in sys.modules
