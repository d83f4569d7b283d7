"""Audits what leadstream needs: known vulnerabilities, licenses, and floors of versions.

    python tests/support/dependency_audit.py [--requirements FILE]

A known vulnerability, a license that is not on the list or a requirement without a floor fails.
Where no vulnerability service answers, that is said loudly, and is no failure: the build must not
depend on one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWN = "leadstream"
RUNTIME_EXTRAS = ("embedded", "registry", "report")
SERVICES = ("pypi", "osv")
TIMEOUT_S = 60.0
PROBE = {"jinja2": "2.11.0"}
"""Known to be vulnerable for years: a service that does not say so says nothing of others."""

ALLOWED_LICENSES = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public License 2\.0"
    r"|Unlicense|Zlib|CC0|Repoze Public License)\b",  # Repoze: BSD and a clause on trademarks
    re.IGNORECASE,
)
DENIED_LICENSES = re.compile(r"\b(A?GPL|SSPL|Proprietary|Commercial)", re.IGNORECASE)
LICENSES_READ_BY_HAND = {
    # Its metadata names none; the LICENSE file in the wheel is Apache-2.0.
    "cel-expr-python": "Apache-2.0",
}


class UnreachableError(Exception):
    """No vulnerability service gives answers here."""


Pins = dict[str, str]
"""Versions by name."""
Ask = Callable[[str, Pins], list[dict[str, Any]]]
"""Returns what a service says of pins, in pip-audit's JSON; raises RuntimeError without one."""


def vulnerabilities(pins: Pins, ask: Ask) -> list[str]:
    """Return a line for each known vulnerability, from the first service that answers.

    Raises:
        UnreachableError: none does.
    """
    reasons = []
    for service in SERVICES:
        try:
            if _lines(ask(service, PROBE)):
                return _lines(ask(service, pins))
            reasons.append(f"{service}: does not know a vulnerability that it should")
        except RuntimeError as error:
            reasons.append(f"{service}: {error}")
    raise UnreachableError("; ".join(reasons))


def ask_pip_audit(service: str, pins: Pins) -> list[dict[str, Any]]:
    """Ask one of pip-audit's services."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        options = "--no-deps --disable-pip --progress-spinner off --format json --timeout 5".split()
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "-s", service, "-r", str(file), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no answer"])[-1][:60]) from None
    return told


def _lines(told: list[dict[str, Any]]) -> list[str]:
    lines = []
    for package in told:
        for found in package.get("vulns", ()):
            mend = ", ".join(found["fix_versions"]) or "no fixed version yet"
            lines.append(f"{package['name']} {package['version']}: {found['id']}: fixed in {mend}")
    return lines


def installed() -> Pins:
    """Return every installed distribution but our own."""
    names = {
        canonicalize_name(each.metadata["Name"]): each.version
        for each in metadata.distributions()
        if each.metadata["Name"]
    }
    return {name: names[name] for name in sorted(names) if name != OWN}


def pinned(file: Path) -> Pins:
    """Return the `name==version` lines of a requirements file."""
    lines = (line.split("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def runtime() -> dict[str, metadata.Distribution]:
    """Return what an installation with every extra for users has, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(OWN, RUNTIME_EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        distribution = metadata.distribution(name)
        for line in distribution.requires or ():
            needed = Requirement(line)
            environments = [{"extra": extra} for extra in (*extras, "")]
            if needed.marker and not any(map(needed.marker.evaluate, environments)):
                continue
            key = canonicalize_name(needed.name)
            if key not in found:
                found[key] = metadata.distribution(key)
                waiting.append((key, tuple(needed.extras)))
    return found


def license_faults(distributions: Mapping[str, metadata.Distribution]) -> list[str]:
    """Return a line for each license that is not on the list."""
    faults = []
    for name, distribution in sorted(distributions.items()):
        said = LICENSES_READ_BY_HAND.get(name) or license_of(distribution)
        choice = re.search(r"\bor\b", said, re.IGNORECASE)
        if not ALLOWED_LICENSES.search(said) or (DENIED_LICENSES.search(said) and not choice):
            faults.append(
                f"{name} {distribution.version}: license {said or 'not named'!r} is not on the "
                "list: read it, and leave the package out or put the license on the list"
            )
    return faults


def license_of(distribution: metadata.Distribution) -> str:
    """Return the license that a distribution names: expression, classifiers, else its text."""
    told = distribution.metadata
    classified = [
        line.rpartition("::")[2].strip()
        for line in told.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    text = (told.get("License") or "").strip().partition("\n")[0]
    return told.get("License-Expression") or ", ".join(classified) or text


def floor_faults() -> list[str]:
    """Return a line for each requirement of ours, for users, that names no least version."""
    faults = []
    for line in metadata.distribution(OWN).requires or ():
        needed = Requirement(line)
        if canonicalize_name(needed.name) != OWN and not any(
            spec.operator in (">=", "==", "~=") for spec in needed.specifier
        ):
            faults.append(f"{needed.name}: no least version: write {needed.name}>=VERSION")
    return faults


def main(arguments: Sequence[str] | None = None, ask: Ask = ask_pip_audit) -> int:
    """Return the exit code: 1 for a fault, also a vulnerability; 0 also where nobody answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requirements", type=Path, help="audit these pins instead")
    file = parser.parse_args(arguments).requirements
    pins = pinned(file) if file else installed()
    faults = [] if file else [*license_faults(runtime()), *floor_faults()]
    try:
        known = vulnerabilities(pins, ask)
    except (UnreachableError, subprocess.TimeoutExpired) as reason:
        known = []
        _say(f"*** DEPENDENCIES NOT AUDITED for vulnerabilities: nobody answers ({reason}) ***")
        _say("*** Run `python tests/support/dependency_audit.py` where a service answers ***")
    else:
        _say(f"{len(pins)} packages audited, {len(known)} known vulnerabilities")
    for line in (*known, *faults):
        _say(line)
    return 1 if known or faults else 0


def _say(line: str) -> None:
    print(f"audit: {line}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
