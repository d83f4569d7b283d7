"""How a wheel is built: beside the Cython extensions, the heart of the streams through mypyc.

The same source runs compiled and interpreted. Editable installations leave it interpreted, or an
edit would have no effect until the next build. Without a C compiler, or where mypyc fails, the
wheel holds the source only; LEADSTREAM_REQUIRE_NATIVE=1 makes that an error.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

BUILD: Final = Path("build", "compiled")
GROUP: Final = "leadstream.streams.native"
READ: Final = ("schemas", "streams")
"""Packages whose types mypyc needs."""
DOMAIN: Final = Path("streams", "domain")
INTERPRETED: Final = frozenset(
    {
        # Classes made by the metaclasses of msgspec and pydantic, whose options mypyc passes over.
        "kept.py", "link_records.py", "model.py", "model_accounts.py", "model_consent.py",
        "model_part.py", "model_sla.py", "reasons.py", "record_v1.py", "saying.py",
        "state_parts.py", "stored_record.py", "__init__.py",
    }
)  # fmt: skip
STAGES: Final = (
    *(Path("streams", "identify", f"{name}.py") for name in ("accept", "resolver", "stage")),
    *(
        Path("streams", "lifecycle", f"{name}.py")
        for name in ("dues", "identities", "joins", "lateness", "records", "stage")
    ),
)
CALLED_DIRECTLY: Final = ("-fno-semantic-interposition", "-fvisibility=hidden")
"""Nobody replaces functions of the library where it is loaded; so they need no table for calls
among themselves, and can be inlined."""
MYPY_OPTIONS: Final = (
    "--config-file=",
    "--namespace-packages",
    "--explicit-package-bases",
    "--ignore-missing-imports",
    "--follow-imports=silent",
)


def compiled_modules(root: Path) -> list[Path]:
    """Return the modules that are compiled, relative to the root of the source."""
    domain = [path for path in (root / DOMAIN).glob("*.py") if path.name not in INTERPRETED]
    return [*sorted(path.relative_to(root) for path in domain), *STAGES]


class CompiledBuild(build_ext):  # type: ignore[misc]  # setuptools is untyped
    """Builds all of the modules that are compiled, or none of them."""

    def finalize_options(self) -> None:
        self._compiled: list[Extension] = []
        self._is_given_up = False
        # `editable_mode` may be set only later, when the extensions are already listed.
        asked = getattr(self.distribution, "commands", [])
        if not (self.editable_mode or self.inplace or "editable_wheel" in asked):
            self._compiled = self._extensions()
            known = self.distribution.ext_modules or []
            self.distribution.ext_modules = [*known, *self._compiled]
        super().finalize_options()

    def build_extension(self, ext: Extension) -> None:
        if ext not in self._compiled:
            super().build_extension(ext)
        elif not self._is_given_up:
            if self.compiler.compiler_type == "unix":
                ext.extra_compile_args = [*ext.extra_compile_args, *CALLED_DIRECTLY]
            try:
                super().build_extension(ext)
            except (BaseError, CCompilerError) as error:
                self._give_up(error)

    def _extensions(self) -> list[Extension]:
        """Return what mypyc makes of the source; the shared library, which all load, first."""
        try:
            from mypyc.build import mypycify
        except ImportError as error:
            self._give_up(error)
            return []
        tree = Path(BUILD, "source")
        shutil.rmtree(tree, ignore_errors=True)
        for package in READ:
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.pyx", "*.c")
            shutil.copytree(package, tree / "leadstream" / package, ignore=ignored)
        paths = [str(tree / "leadstream" / path) for path in compiled_modules(Path())]
        os.environ["MYPYPATH"] = str(tree)
        try:
            made: list[Extension] = mypycify(
                [*MYPY_OPTIONS, *paths],
                opt_level="2",
                debug_level="0",
                target_dir=str(BUILD / "c"),
                group_name=GROUP,
            )
        except SystemExit as error:
            # How mypyc ends where the source does not pass its types; it has printed why.
            self._give_up(error)
            return []
        return sorted(made, key=lambda extension: not extension.name.startswith(GROUP))

    def _give_up(self, error: BaseException) -> None:
        if os.environ.get("LEADSTREAM_REQUIRE_NATIVE") == "1":
            raise error
        self.warn(f"the streams stay interpreted, which is slower: {error}")
        for extension in self._compiled:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self._is_given_up = True
