"""What the hot path costs, in machine instructions: a slow change is seen without a clock.

Valgrind counts the instructions of the fold, the stages and the codec on one log that is always
the same. They are compared with stored bounds. For the same build of Python and of the libraries
the count repeats to a thousandth; for another build it is scaled by a piece of reference work.

    python tests/benchmarks/guard.py            # compare
    python tests/benchmarks/guard.py --update   # take what is measured now as the bounds
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from _guarded import GUARDED

from leadstream.schemas.native import AVAILABLE
from leadstream.streams.implementation import IS_COMPILED

HERE = Path(__file__).parent
WORK = HERE / "_guarded.py"
BOUNDS = HERE / "guard_bounds.json"
COMMAND = "python tests/benchmarks/guard.py --update"
REFERENCE = "reference"
SAME_BUILD_TOLERANCE = 0.03
OTHER_BUILD_TOLERANCE = 0.15
TIMEOUT_S = 600.0
_LIBRARIES = ("cel-expr-python", "fastavro", "lz4", "msgspec")

Costs = dict[str, int]
"""Instructions an event, or a record, by scenario."""


@dataclass(frozen=True)
class Bounds:
    """What was measured last with one build, and how much more is let pass on the present one."""

    costs: Costs
    scale: float
    tolerance: float

    def of(self, scenario: str) -> int:
        return round(self.costs[scenario] * self.scale * (1 + self.tolerance))

    def excess(self, scenario: str, cost: int) -> str | None:
        """Say by how much a cost is beyond its bound, and what to do; None where it is within."""
        if scenario not in self.costs:
            return f'"{scenario}" has no bound: run `{COMMAND}` and commit its file'
        if cost <= self.of(scenario):
            return None
        expected = self.costs[scenario] * self.scale
        return (
            f'"{scenario}" takes {cost:,} instructions each, {cost / expected - 1:+.0%} against '
            f"{expected:,.0f} (tolerance {self.tolerance:.0%}): make the change cheaper, or, if "
            f"it is worth its cost, run `{COMMAND}` and commit its file with the reason"
        )


def build() -> dict[str, str]:
    """Return what the count depends on beside our code."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {
        "python": sys.version,
        "machine": platform.machine(),
        "codec": "compiled" if AVAILABLE else "fastavro",
        "streams": "compiled" if IS_COMPILED else "interpreted",
        "compiler": _compiler() if AVAILABLE else "",
        **libraries,
    }


def _compiler() -> str:
    if shutil.which("cc") is None:
        return ""
    told = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.partition("\n")[0]


def not_comparable(stored: dict[str, Any]) -> str | None:
    """Say why the stored bounds say nothing of this build; None where they do."""
    ours, theirs = build(), stored["build"]
    for part in ("codec", "streams"):
        if ours[part] != theirs[part]:
            return (
                f"the bounds are of {part} that are {theirs[part]}, here they are {ours[part]}: "
                "install a wheel (pip install .), with a C compiler at hand"
            )
    return None


def bounds_of(stored: dict[str, Any], measured: Costs) -> Bounds:
    """Return the stored bounds, scaled by the reference work where another build has set them."""
    costs: Costs = stored["instructions"]
    if stored["build"] == build():
        return Bounds(costs, 1.0, SAME_BUILD_TOLERANCE)
    # Never below: a Python that runs bytecode faster runs the compiled parts no faster.
    scale = max(1.0, measured[REFERENCE] / costs[REFERENCE])
    return Bounds(costs, scale, OTHER_BUILD_TOLERANCE)


def measure(scenarios: Iterable[str]) -> Costs:
    """Return what each scenario takes, per event or record; needs valgrind."""
    if shutil.which("valgrind") is None:
        raise SystemExit("needs valgrind: apt-get install valgrind")
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    python = [sys.executable, str(WORK)]
    # Compiled and shown to work before, so that valgrind only counts.
    _run(python, environment)
    with tempfile.TemporaryDirectory(prefix="leadstream-guard-") as directory:
        counting = [
            "valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no",
            f"--cachegrind-out-file={directory}/%p",
        ]  # fmt: skip
        told = _run([*counting, *python, *scenarios], environment)
        costs: Costs = {}
        for line in told.splitlines():
            name, idle, busy, units = line.split("\t")
            counts = [_instructions(Path(directory, process)) for process in (busy, idle)]
            costs[name] = (counts[0] - counts[1]) // int(units)
        return costs


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _instructions(counted: Path) -> int:
    last = counted.read_text().rstrip().rpartition("\n")[2]
    name, count = last.split()
    if name != "summary:":
        raise SystemExit(f"cachegrind's file ends with {last!r}, not with its summary")
    return int(count)


def stored_bounds() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BOUNDS.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="store what is measured as bounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    measured = measure(GUARDED)
    found = {"build": build(), "instructions": measured}
    stored = stored_bounds() if BOUNDS.exists() else found
    if not options.update and (reason := not_comparable(stored)):
        raise SystemExit(reason)
    bounds = bounds_of(stored, measured)
    if options.update:
        BOUNDS.write_text(json.dumps(found, indent=2) + "\n")
    if options.json:
        click.echo(json.dumps({"benchmark": "guard", **found}))
    else:
        for name, cost in measured.items():
            expected = bounds.costs.get(name, cost) * bounds.scale
            click.echo(f"{name:>24} {cost:>12,}  {cost / expected - 1:+7.1%}")
    faults = [bounds.excess(name, cost) for name, cost in measured.items() if name != REFERENCE]
    if not options.update and any(faults):
        raise SystemExit("\n".join(filter(None, faults)))


if __name__ == "__main__":
    main()
