"""The parts of a dashboard, as Grafana's JSON has them: variables, panels, and where they stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parent / "dashboards"
DATA_SOURCE: Final = {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"}
COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39  # Grafana 10.2 and later read it

Json = dict[str, Any]

_TIME_SERIES, _TABLE = 0, 1


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Json],
    rows: Sequence[tuple[int, Sequence[tuple[int, Json]]]],
    days: int = 90,
) -> Json:
    """Return a dashboard.

    Args:
        rows: of panels, from the top: the height of each row, and each panel with its width.
        days: how far back it looks at first.
    """
    panels: list[Json] = []
    top = 0
    for height, row in rows:
        left = 0
        for width, shown in row:
            place = {"h": height, "w": width, "x": left, "y": top}
            panels.append({"id": len(panels) + 1, "gridPos": place, **shown})
            left += width
        top += height
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["leadstream"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "time": {"from": f"now-{days}d", "to": "now"},
        "refresh": "1m",
        "graphTooltip": 1,
        "templating": {"list": [data_source(), *variables]},
        "panels": panels,
    }


def text_of(shown: Json) -> str:
    """Return a dashboard as its file has it."""
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"


def data_source() -> Json:
    """Return the variable that says which ClickHouse is asked."""
    return {
        "name": "datasource",
        "label": "ClickHouse",
        "type": "datasource",
        "query": DATA_SOURCE["type"],
        "refresh": 1,
    }


def values_of(name: str, label: str, sql: str) -> Json:
    """Return a variable of which several values may be chosen; at first, all."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": sql,
        "definition": sql,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def choice(name: str, label: str, values: Sequence[str], first: str) -> Json:
    """Return a variable of which one of some fixed values is chosen."""
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "options": [
            {"text": value, "value": value, "selected": value == first} for value in values
        ],
        "current": {"text": first, "value": first},
        "multi": False,
        "includeAll": False,
    }


def stat(
    title: str, description: str, sql: str, unit: str = "short", steps: Iterable[Step] = ()
) -> Json:
    """Return a panel of one figure."""
    return _panel("stat", title, description, sql, unit, steps) | {
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/.*/", "values": False},
            "colorMode": "value",
            "graphMode": "none",
        }
    }


def table(
    title: str,
    description: str,
    sql: str,
    units: Mapping[str, str] | None = None,
    steps: Mapping[str, Iterable[Step]] | None = None,
) -> Json:
    """Return a panel of rows; `units` and `steps` are those of columns, by name."""
    overrides = [_override(name, [("unit", unit)]) for name, unit in (units or {}).items()]
    for name, bounds in (steps or {}).items():
        shown = {"type": "color-background", "mode": "basic"}
        overrides.append(
            _override(name, [("thresholds", _thresholds(bounds)), ("custom.cellOptions", shown)])
        )
    return _panel("table", title, description, sql, overrides=overrides) | {
        "options": {"showHeader": True, "cellHeight": "sm"}
    }


def bars(title: str, description: str, sql: str, unit: str = "short") -> Json:
    """Return a panel of one bar a row: a name, and a figure."""
    return _panel("barchart", title, description, sql, unit) | {
        "options": {"orientation": "horizontal", "showValue": "always", "legend": _NO_LEGEND}
    }


def series(
    title: str,
    description: str,
    sql: str,
    unit: str = "short",
    steps: Iterable[Step] = (),
    *,
    stacked: bool = False,
) -> Json:
    """Return a panel over time; of a text beside the time, each value is a line of its own."""
    found = _panel("timeseries", title, description, sql, unit, steps, form=_TIME_SERIES)
    custom: Json = {"drawStyle": "bars" if stacked else "line", "fillOpacity": 70 if stacked else 0}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if steps:
        custom["thresholdsStyle"] = {"mode": "area"}
    found["fieldConfig"]["defaults"]["custom"] = custom
    return found | {"options": {"legend": {"displayMode": "list", "placement": "bottom"}}}


Step = tuple[float | None, str]
"""From this value on, this colour; None is from below."""

_NO_LEGEND: Final = {"displayMode": "hidden", "placement": "bottom", "showLegend": False}


def _panel(
    kind: str,
    title: str,
    description: str,
    sql: str,
    unit: str = "short",
    steps: Iterable[Step] = (),
    *,
    form: int = _TABLE,
    overrides: Sequence[Json] = (),
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATA_SOURCE,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": _thresholds(steps)},
            "overrides": list(overrides),
        },
        "targets": [
            {
                "refId": "A",
                "datasource": DATA_SOURCE,
                "editorType": "sql",
                "queryType": "table" if form == _TABLE else "timeseries",
                "format": form,
                "rawSql": sql.strip(),
            }
        ],
    }


def _thresholds(steps: Iterable[Step]) -> Json:
    shown = list(steps) or [(None, "text")]
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in shown],
    }


def _override(column: str, properties: Sequence[tuple[str, Any]]) -> Json:
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": name, "value": value} for name, value in properties],
    }
