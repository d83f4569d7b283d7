"""Charts in Vega-Lite: few kinds, alike everywhere.

Names that people made up are values, or in the domain of a scale; never in `sort` or a filter,
which become expressions. Colours are the page's own variables, so that a chart follows light, dark
and print by itself. Of a heat map the opacity tells the value, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leadstream.infra.report.blocks import Spec

Values = Sequence[Mapping[str, Any]]

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
FONT: Final = "Inter, system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, sans-serif"
SHARE: Final = ".1%"
COUNT: Final = ",d"
ACCENT: Final = "var(--accent)"
COLOURS: Final = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)")
"""Apart for the colour-blind too; in the order of use."""
GOOD, CALM, WARN, BAD, QUIET = (
    "var(--c3)", "var(--calm)", "var(--c2)", "var(--c6)", "var(--quiet)",
)  # fmt: skip
CONFIG: Final[Spec] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "bar": {"fill": ACCENT, "cornerRadiusEnd": 2},
    "point": {"size": 60, "filled": True, "color": ACCENT, "opacity": 1},
    "line": {"stroke": ACCENT, "strokeWidth": 2},
    "area": {"fill": ACCENT},
    "rule": {"stroke": "var(--rule-strong)"},
    "text": {"fill": "var(--ink)", "fontSize": 12},
    "axis": {
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": 400, "titlePadding": 8, "labelLimit": 150,
        "gridColor": "var(--rule)", "domainColor": "var(--rule-strong)", "ticks": False,
        "labelPadding": 6, "domain": False,
    },
    "axisX": {"labelFlush": False},
    "axisY": {"labelPadding": 10},
    "header": {"labelColor": "var(--ink)", "labelFontSize": 12, "labelFontWeight": 600,
               "labelAnchor": "start", "title": None},
}  # fmt: skip


def field(name: str, title: str | None = None, form: str | None = None) -> Spec:
    """Return a quantity for an axis or a tooltip, with its heading."""
    found: Spec = {"field": name, "type": "quantitative", "title": title}
    return found | ({"format": form} if form else {})


def label(name: str, title: str | None = None) -> Spec:
    """Return a name for an axis or a tooltip, with its heading."""
    return {"field": name, "type": "nominal", "title": title}


def chart(values: Values, height: int, **parts: Any) -> Spec:
    """Return a chart as wide as the page lets it be."""
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "width": "container",
        "height": height,
        "padding": {"left": 0, "top": 4, "right": 12, "bottom": 0},
        "data": {"values": list(values)},
        **parts,
    }


def rows_high(values: Values, name: str, step: int) -> int:
    """Return the height of a chart with so many pixels for each name."""
    return step * len({each[name] for each in values})


def category(name: str, most: int = 150) -> Spec:
    """Return a vertical axis of names, in the order of the values."""
    return {
        "field": name, "type": "nominal", "sort": None, "title": None,
        "axis": {"labelColor": "var(--ink)", "labelLimit": most, "labelPadding": 12, "grid": False},
    }  # fmt: skip


def bars(values: Values, name: str, quantity: Spec, text: str, tooltip: Sequence[Spec]) -> Spec:
    """Return horizontal bars with their figures beside them; `text` is the field that says them."""
    y = category(name)
    # The figure of the longest bar needs room beside it.
    longest = max(each[quantity["field"]] for each in values)
    x = quantity | {"axis": None, "scale": {"domain": [0, longest * 1.16], "nice": False}}
    return chart(
        values,
        rows_high(values, name, 30),
        encoding={"y": y, "x": x, "tooltip": list(tooltip)},
        layer=[
            {"mark": {"type": "bar", "height": 20}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"text": {"field": text, "type": "nominal"}},
            },
        ],
    )


def stacked(
    values: Values, name: str, part: str, parts: Mapping[str, str], quantity: Spec,
    tooltip: Sequence[Spec], whole: bool = False,
) -> Spec:  # fmt: skip
    """Return stacked bars.

    Args:
        parts: in their order, each with its colour.
        whole: every bar is 100 %.
    """
    axis: Spec = {"format": ".0%" if whole else "~s", "tickCount": 5}
    return chart(
        values,
        rows_high(values, name, 30),
        mark={"type": "bar", "height": 20, "cornerRadiusEnd": 0},
        encoding={
            "y": category(name),
            "x": quantity | {"stack": "normalize" if whole else "zero", "axis": axis,
                             "title": None},
            "color": {
                "field": part, "type": "nominal",
                "scale": {"domain": list(parts), "range": list(parts.values())}, "legend": None,
            },
            "order": {"field": "place", "type": "quantitative"},
            "tooltip": list(tooltip),
        },
    )  # fmt: skip


def intervals(
    values: Values, name: str, share: str, low: str, high: str, tooltip: Sequence[Spec],
    band: tuple[float, float] | None = None,
) -> Spec:  # fmt: skip
    """Return shares with their intervals, as points on lines.

    Args:
        band: a range that is marked behind them.
    """
    x = {"type": "quantitative", "axis": {"format": ".0%", "tickCount": 5, "title": None}}
    shared: Spec = {"y": category(name), "tooltip": list(tooltip)}
    reach = {
        "mark": {"type": "rule", "strokeWidth": 6, "stroke": ACCENT, "opacity": 0.25},
        "encoding": shared | {"x": {"field": low} | x, "x2": {"field": high}},
    }
    middle = {
        "mark": {"type": "point", "size": 90},
        "encoding": shared | {"x": {"field": share} | x},
    }
    behind = [
        {
            "data": {"values": [{"from": low_end, "to": high_end}]},
            "mark": {"type": "rect", "fill": GOOD, "opacity": 0.12},
            "encoding": {"x": {"field": "from"} | x, "x2": {"field": "to"}},
        }
        for low_end, high_end in ([band] if band else [])
    ]
    return chart(values, rows_high(values, name, 30), layer=[*behind, reach, middle])


def ratios(
    values: Values, name: str, middle: str, low: str, high: str, ends: tuple[float, float],
    tooltip: Sequence[Spec],
) -> Spec:  # fmt: skip
    """Return multiples with their intervals, around a line at 1."""
    x: Spec = {
        "type": "quantitative", "scale": {"type": "log", "base": 2, "domain": list(ends)},
        "axis": {"title": None, "values": [0.25, 0.5, 1, 2, 4], "format": "~g"},
    }  # fmt: skip
    shared: Spec = {"y": category(name), "tooltip": list(tooltip)}
    return chart(values, rows_high(values, name, 26), layer=[
        {
            "data": {"values": [{"one": 1}]},
            "mark": {"type": "rule", "stroke": "var(--muted)", "strokeDash": [3, 3]},
            "encoding": {"x": {"field": "one"} | x},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 6, "stroke": ACCENT, "opacity": 0.25},
            "encoding": shared | {"x": {"field": low} | x, "x2": {"field": high}},
        },
        {
            "mark": {"type": "point", "size": 90},
            "encoding": shared | {"x": {"field": middle} | x},
        },
    ])  # fmt: skip


def curve(
    values: Values, x: Spec, share: str, low: str, high: str, tooltip: Sequence[Spec]
) -> Spec:
    """Return a share that grows, with its interval as a band."""
    y = {"type": "quantitative", "title": None, "axis": {"format": ".0%", "tickCount": 5}}
    return chart(
        values,
        260,
        encoding={"x": x, "tooltip": list(tooltip)},
        layer=[
            {
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {"y": {"field": low} | y, "y2": {"field": high}},
            },
            {"mark": {"type": "line"}, "encoding": {"y": {"field": share} | y}},
            {"mark": {"type": "point"}, "encoding": {"y": {"field": share} | y}},
        ],
    )


def heat(
    values: Values, x: Spec, y: Spec, opacity: Spec, tooltip: Sequence[Spec], colour: str = ACCENT
) -> Spec:
    """Return cells whose opacity tells their value, from 0 to the field's largest."""
    return chart(
        values,
        rows_high(values, y["field"], 28),
        mark={"type": "rect", "fill": colour, "stroke": "var(--paper)", "strokeWidth": 2},
        encoding={
            "x": x,
            "y": y,
            "fillOpacity": opacity | {"legend": None},
            "tooltip": list(tooltip),
        },
    )


def dots(
    values: Values, name: str, quantity: Spec, group: str, groups: Mapping[str, str],
    tooltip: Sequence[Spec],
) -> Spec:  # fmt: skip
    """Return several dots a name on one line, with a line from the least to the most."""
    return chart(
        values,
        rows_high(values, name, 34),
        encoding={"y": category(name)},
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 1},
                "encoding": {
                    "x": quantity | {"aggregate": "min", "axis": {"tickCount": 6}},
                    "x2": {"field": quantity["field"], "aggregate": "max"},
                },
            },
            {
                "mark": {"type": "point", "size": 80, "opacity": 0.85},
                "encoding": {
                    "x": quantity | {"axis": {"tickCount": 6}},
                    "color": {
                        "field": group, "type": "nominal",
                        "scale": {"domain": list(groups), "range": list(groups.values())},
                        "legend": None,
                    },
                    "tooltip": list(tooltip),
                },
            },
        ],
    )  # fmt: skip


def spark(values: Values, tooltip: Sequence[Spec]) -> Spec:
    """Return a small line without axes; each value has `week`, `figure`, and `is_latest`."""
    y = {
        "field": "figure", "type": "quantitative", "axis": None,
        "scale": {"zero": True, "nice": False, "padding": 4},
    }  # fmt: skip
    x = {"field": "place", "type": "quantitative", "axis": None, "scale": {"padding": 6}}
    return chart(
        values,
        44,
        padding=0,
        encoding={"x": x, "y": y, "tooltip": list(tooltip)},
        layer=[
            {"mark": {"type": "area", "opacity": 0.1}},
            {"mark": {"type": "line", "strokeWidth": 1.5}},
            {
                "mark": {"type": "point", "size": 240, "opacity": 0},
            },
            {
                "transform": [{"filter": "datum.is_latest"}],
                "mark": {"type": "point", "size": 40},
            },
        ],
    )
