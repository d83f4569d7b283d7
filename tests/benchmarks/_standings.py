"""From runs to figures: medians with their spread, ratios round by round, a table and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from _contest import Run

RATIOS: tuple[tuple[str, str, str, float | None], ...] = (
    ("a/b", "leadstream", "faust", 15.0),
    ("a/c", "leadstream", "quixstreams", 8.0),
    ("a/c", "leadstream", "bytewax", 3.0),
    ("a/d", "leadstream", "limit", 0.7),
    ("a/d identify", "leadstream-identify", "limit-identify", 0.7),
    ("a/d lifecycle", "leadstream-lifecycle", "limit-lifecycle", 0.7),
    ("a/b, ids not joined", "leadstream-alone", "faust-alone", 15.0),
    ("a/c, ids not joined", "leadstream-alone", "quixstreams-alone", 8.0),
    ("a/c, ids not joined", "leadstream-alone", "bytewax-alone", 3.0),
    ("a/d, ids not joined", "leadstream-alone", "limit-alone", 0.7),
    ("merges", "leadstream", "leadstream-known", 0.8),
    ("joins", "leadstream", "leadstream-alone", None),
    ("unlike jobs", "leadstream", "faust-alone", None),
    ("unlike jobs", "leadstream", "quixstreams-alone", None),
    ("unlike jobs", "leadstream", "bytewax-alone", None),
    ("unlike jobs", "leadstream", "limit-alone", None),
)
"""Name, over what, under what, and what is wanted at least, where something is.

Both of a ratio do the same job, and give the same answers; in "unlike jobs" leadstream joins ids,
and the other does not.
"""


def standings(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return the figures of each contender, and the ratios of those that ran."""
    return {
        "contenders": {
            name: {
                "events": found[0].events,
                "events_per_s": _spread([run.events_per_s for run in found]),
                "cpu_us_per_event": _spread([run.cpu_us_per_event for run in found]),
                "broker_cpu_us_per_event": _spread([run.broker_cpu_us_per_event for run in found]),
                "peak_mb": round(max(run.peak_mb for run in found)),
            }
            for name, found in runs.items()
        },
        "ratios": {
            f"{name}: {over} / {under}": {
                "events_per_s": _spread(
                    [
                        a.events_per_s / b.events_per_s
                        for a, b in zip(runs[over], runs[under], strict=True)
                    ]
                ),
                "cpu": _spread(
                    [
                        b.cpu_us_per_event / a.cpu_us_per_event
                        for a, b in zip(runs[over], runs[under], strict=True)
                    ]
                ),
                "wanted": wanted,
            }
            for name, over, under, wanted in RATIOS
            if over in runs and under in runs
        },
    }


def table(figures: Mapping[str, Any]) -> None:
    """Print the figures for people."""
    slow = figures["slow_log_events"]
    click.echo(
        f"{figures['log_events']:,} events of {figures['leads']:,} leads"
        + (f"; peers {slow:,} events of fewer leads" if slow else "")
        + f"; {figures['partitions']} partitions, {figures['rounds']} rounds; median (min to max)"
    )
    click.echo(f"\n{'':22}{'events/s':>28}{'µs CPU an event':>26}{'of the broker':>15}{'MB':>7}")
    for name, found in figures["contenders"].items():
        click.echo(
            f"{name:22}{_shown(found['events_per_s'], ',.0f'):>28}"
            f"{_shown(found['cpu_us_per_event'], '.1f'):>26}"
            f"{found['broker_cpu_us_per_event']['median']:>15.1f}{found['peak_mb']:>7}"
        )
    click.echo(f"\n{'':50}{'events/s':>22}{'by CPU':>22}{'wanted':>8}")
    for name, found in figures["ratios"].items():
        click.echo(
            f"{name:50}{_shown(found['events_per_s'], '.2f'):>22}{_shown(found['cpu'], '.2f'):>22}"
            f"{found['wanted'] or '':>8}"
        )


def plot(figures: Mapping[str, Any], file: Path) -> None:
    """Draw events a second as bars, with their spread; needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(figures["contenders"])[::-1]
    rates = [figures["contenders"][name]["events_per_s"] for name in names]
    medians = [rate["median"] for rate in rates]
    spread = [
        [rate["median"] - rate["min"] for rate in rates],
        [rate["max"] - rate["median"] for rate in rates],
    ]
    colours = ["#1f6feb" if name.startswith("leadstream") else "#9aa4b2" for name in names]
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(names) + 1.2), layout="constrained")
    axes.barh(names, medians, xerr=spread, color=colours, ecolor="#444444", capsize=3)
    axes.set_xscale("log")
    axes.set_xlabel("input events a second on one core, median of the rounds (logarithmic)")
    for place, median in enumerate(medians):
        axes.annotate(
            f"{median:,.0f}", (median, place), (6, 5), textcoords="offset points", fontsize=8
        )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
    pyplot.close(figure)


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": _rounded(statistics.median(values)),
        "min": _rounded(min(values)),
        "max": _rounded(max(values)),
        "rounds": [_rounded(value) for value in values],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _shown(spread: Mapping[str, float], form: str) -> str:
    return f"{spread['median']:{form}} ({spread['min']:{form}} to {spread['max']:{form}})"
