"""Draws the benchmarks' figures and writes them as tables into the pages.

    python tests/benchmarks/plots.py RESULT.json... [-o infra/docs/performance/]

A result is what a benchmark prints with `--json`. Of several of one benchmark the later completes
the earlier. What has no result keeps its table and its picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import click
from _million import on_paper
from _pictures import draw
from _tables import put, tables

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "infra/docs/performance.md", ROOT / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "infra/docs/performance")
    parser.add_argument("--pages", nargs="*", type=Path, default=PAGES, help="with markers")
    options = parser.parse_args()
    results = read(options.results)
    for file in draw(results, options.output):
        click.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB")
    made = tables(results) | {"million": on_paper(results)}
    for page in options.pages:
        done = put(page, {name: table for name, table in made.items() if table})
        click.echo(f"{page}: {', '.join(done) or 'no markers of these results'}")


def read(files: list[Path]) -> dict[str, dict[str, Any]]:
    """Return the results by benchmark."""
    results: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            found = json.loads(file.read_text("utf-8"))
            results.setdefault(found["benchmark"], {}).update(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(
                f"{file}: not a result of a benchmark ({error!r}): run one with --json"
            ) from None
    return results


if __name__ == "__main__":
    main()
