"""Writes the report as one HTML page that asks nobody for anything.

Every text is escaped where it is put in. What the page may run is named by its hash in its
Content-Security-Policy, and nothing may be loaded: not even a text that got through could act.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from leadstream.infra.report.blocks import Chart, Column, Note, Section, Spec, Table
from leadstream.infra.report.chance import Certainty
from leadstream.infra.report.changes import Change
from leadstream.infra.report.charts import label, spark
from leadstream.infra.report.glossary import TERMS
from leadstream.infra.report.report import Report
from leadstream.infra.report.words import cell, day, instant, listed
from leadstream.sinks.weekly import WEEK, Span

_ARROWS = {"up": "▲", "down": "▼", "same": ""}
_SHADES = 5
NOTHING = (
    "The database holds no leads. Let the sink fill it, or run leadstream demo, and ask again."
)


def render(report: Report | None, database: str, library: str) -> str:
    """Return the page.

    Args:
        report: None of a database without leads.
        library: what draws the charts, as one script (see `library`).
    """
    css, script, template = (_text(name) for name in ("page.css", "page.js", "page.html"))
    library = _in_script(library)
    found: dict[str, Any] = {
        "policy": _policy(library, script),
        "css": Markup(css),  # noqa: S704  ours
        "title": f"Lead report: {database}",
        "heading": "Lead report",
        "about": f"Database {database}.",
        "nothing": NOTHING,
        "report": report,
        "contents": [],
        "foot": "Made by leadstream report.",
    }
    if report is not None:
        facts = report.facts
        tiles = [_tile(change, facts.span, place) for place, change in enumerate(report.changes)]
        charts = {tile.name: tile.spec for tile in tiles} | {
            block.name: block.spec
            for section in report.sections
            for block in section.blocks
            if isinstance(block, Chart)
        }
        found |= {
            "title": f"Lead report: {database}, week to {day(facts.span.latest)}",
            "heading": f"Week to {day(facts.span.latest)}",
            "about": _about(report, database),
            "tiles": tiles,
            "weeks": _shown(_weeks(report.changes, facts.span)),
            "sections": [_section(section) for section in report.sections],
            "contents": [
                ("changes", "What changed"),
                ("actions", "What to do"),
                *((section.name, section.title) for section in report.sections),
                ("glossary", "Terms"),
            ],
            "terms": TERMS,
            "charts": Markup(_json(charts)),  # noqa: S704  escaped there
            "library": Markup(library),  # noqa: S704  ours
            "script": Markup(script),  # noqa: S704  ours
            "foot": _foot(report),
        }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(found)


def library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script; takes seconds."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script


@dataclass(frozen=True, slots=True)
class _Tile:
    """A change as the page shows it."""

    name: str
    change: Change
    this: str
    arrow: str
    marks: str
    certainty: str
    is_real: bool
    alternative: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    marks: str


def _tile(change: Change, span: Span, place: int) -> _Tile:
    is_real = change.certainty is Certainty.REAL
    values = [
        {"place": week, "figure": figure, "told": change.shown(figure),
         "week": f"week to {_week_end(span, len(change.series), week)}",
         "is_latest": week == len(change.series) - 1}
        for week, figure in enumerate(change.series)
    ]  # fmt: skip
    return _Tile(
        name=f"week-{place}",
        change=change,
        this=change.shown(change.this),
        arrow=_ARROWS[change.direction],
        marks=change.judged if is_real else "",
        certainty="" if change.certainty is None else change.certainty.value,
        is_real=is_real,
        alternative=f"{change.name} in each of {len(change.series)} weeks",
        spec=spark(values, [label("week", " "), label("told", change.name)]),
    )


def _week_end(span: Span, weeks: int, place: int) -> str:
    end = span.weeks_ago(weeks - 1 - place)
    return f"{end.day} {end:%b}"


def _weeks(changes: Sequence[Change], span: Span) -> Table:
    weeks = len(changes[0].series)
    return Table(
        f"The last {weeks} weeks",
        [Column("Week to"), *(Column(change.name, "shown") for change in changes)],
        [[_week_end(span, weeks, place), *(change.shown(change.series[place])
                                          for change in changes)]
         for place in reversed(range(weeks))],
    )  # fmt: skip


def _section(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "says": section.says,
        "ask": section.ask,
        "blocks": [_block(block) for block in section.blocks],
    }


def _block(block: Chart | Table | Note) -> dict[str, Any]:
    if isinstance(block, Chart):
        return {
            "kind": "chart",
            "name": block.name,
            "title": block.title,
            "alternative": block.alternative,
            "note": block.note,
            "legend": block.legend,
            "table": _shown(block.table),
        }
    if isinstance(block, Table):
        return {"kind": "table", **_shown(block)}
    return {"kind": "note", "text": block.text}


def _shown(table: Table) -> dict[str, Any]:
    """Return a table with its cells as texts, and how each is marked."""
    largest = {
        place: max((float(row[place]) for row in table.rows if row[place] is not None), default=0.0)
        for place in table.shaded
    }
    return {
        "caption": table.caption,
        "columns": table.columns,
        "rows": [
            [
                _Cell(cell(value, column.kind), _marks(column, value, largest.get(place)))
                for place, (value, column) in enumerate(zip(row, table.columns, strict=True))
            ]
            for row in table.rows
        ],
    }


def _marks(column: Column, value: Any, largest: float | None) -> str:
    marks = ["n"] if column.is_number else ["code"] if column.kind == "code" else []
    if largest and value:
        marks.append(f"s{max(1, round(float(value) / largest * _SHADES))}")
    return " ".join(marks)


def _about(report: Report, database: str) -> str:
    facts = report.facts
    week = facts.span.latest - WEEK
    versions = f"Model {listed(facts.versions)}. " if facts.versions else ""
    return (
        f"Seven days from {instant(week)} beside the seven before, and all that came since "
        f"{day(facts.span.first)}. {versions}Database {database}."
    )


def _foot(report: Report) -> str:
    facts = report.facts
    told = "Made by leadstream report. Times are UTC."
    if facts.other_wins:
        wins = [f"{count} in {name or 'no currency'}" for name, count in facts.other_wins.items()]
        told += f" Money is in {facts.currency}; wins in other currencies count without theirs: "
        told += f"{listed(wins, most=5)}."
    return told


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that no HTML parser takes for a tag; line separators become escapes too."""
    told = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return told.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _in_script(script: str) -> str:
    """Return a script of ours that ends where it should."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
