"""The benchmarks' figures as SVG: small, on a ground of their own, with units and their origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from _tables import NAMES
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

Figures = Mapping[str, Any]

OURS, LIMIT, PEER = "#1a5fb4", "#2a9d6f", "#9a9996"
SERIES = ("#1a5fb4", "#e66100", "#2a9d6f", "#813d9c", "#a51d2d")
INK, FAINT = "#24292f", "#d0d7de"
WIDTH_IN = 8.0
STYLE = {
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "#ffffff",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text: a tenth of the size
    "svg.hashsalt": "leadstream",  # the same figures give the same file
    "legend.frameon": False,
}
_ON_GROUND = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.6}


def draw(results: Mapping[str, Figures], directory: Path) -> list[Path]:
    """Draw what the results have figures for; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    scale = results.get("scale", {})
    pictures: list[tuple[str, Callable[[Any], Figure], Any, Figures]] = [
        ("throughput", throughput, results.get("throughput"), results.get("throughput", {})),
        ("latency", latency, results.get("latency"), results.get("latency", {})),
        ("scale-workers", workers, scale.get("workers"), scale),
        ("scale-state", state, scale if {"leads", "history"} & scale.keys() else None, scale),
        ("scale-memory", memory, scale.get("leads"), scale),
        ("scale-recovery", recovery, scale.get("recovery"), scale),
    ]
    files = []
    with pyplot.rc_context(STYLE):
        for name, picture, figures, origin in pictures:
            if not figures:
                continue
            drawn = picture(figures)
            _sign(drawn, origin)
            file = directory / f"{name}.svg"
            drawn.savefig(file, metadata={"Date": None})
            pyplot.close(drawn)
            files.append(file)
    return files


def throughput(figures: Figures) -> Figure:
    contenders = figures["contenders"]
    names = [name for name in NAMES if name in contenders]
    names += [name for name in contenders if name not in NAMES]
    names.reverse()
    rates = [contenders[name]["events_per_s"] for name in names]
    drawn, axes = _canvas(0.42 * len(names) + 1.6)
    shown = axes.barh(
        [NAMES.get(name, name) for name in names],
        [rate["median"] for rate in rates],
        xerr=_errors(rates),
        color=[_colour(name) for name in names],
        ecolor=INK,
        capsize=3,
        height=0.68,
    )
    axes.set_title("Throughput: the same job, log and Apache Kafka")
    axes.set_xlabel("input events a second, median of the rounds; whiskers: least and most")
    axes.margins(x=0.28)
    _thousands(axes, "x")
    ratios = _ratios_to_ours(figures)
    for name, bar, rate in zip(names, shown, rates, strict=True):
        told = f"{rate['median']:,.0f}" + (f" · {ratios[name]}" if name in ratios else "")
        place = (rate["max"], bar.get_y() + bar.get_height() / 2)
        axes.annotate(told, place, (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return drawn


def _ratios_to_ours(figures: Figures) -> dict[str, str]:
    told = {}
    for name, ratio in figures.get("ratios", {}).items():
        if not ratio["wanted"]:
            continue
        over, _, under = name.rpartition(": ")[2].partition(" / ")
        value = ratio["events_per_s"]["median"]
        ours = NAMES.get(over, over)
        told[under] = (
            f"{ours} is {value:.2g} times as fast" if value > 1 else f"{ours} reaches {value:.0%}"
        )
    return told


def latency(figures: Figures) -> Figure:
    rates = sorted(int(key[3:]) for key in figures if key.startswith("at_"))
    quantiles = ["p50", "p90", "p99", "p99.9", "max"]
    drawn, axes = _canvas(3.4)
    for rate, colour in zip(rates, SERIES, strict=False):
        of = figures[f"at_{rate}"]
        values = [of[f"{quantile}_ms"] for quantile in quantiles]
        axes.plot(quantiles, values, marker="o", color=colour, label=f"{rate:,} events/s")
        above = rate == rates[-1]
        for place, value in enumerate(values):
            axes.annotate(
                f"{value:,.0f}", (place, value), (0, 7 if above else -14), ha="center",
                textcoords="offset points", fontsize=9, color=colour, bbox=_ON_GROUND,
            )  # fmt: skip
    axes.axhline(
        50, color=PEER, linestyle="--", linewidth=1,
        label="wanted: p99 at 1,000 events/s below 50 ms",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.margins(x=0.08, y=0.18)
    axes.set_title("Latency: an event is due → its transition is consumed")
    axes.set_ylabel("milliseconds (logarithmic)")
    axes.set_xlabel("share of the transitions that are faster")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.legend(loc="lower right")
    return drawn


def workers(figures: Figures) -> Figure:
    drawn, (left, right) = pyplot.subplots(
        1, 2, figsize=(WIDTH_IN, 3.4), layout="constrained", sharex=True
    )
    for (count, of), colour in zip(
        figures["by_workers_and_partitions"].items(), SERIES, strict=False
    ):
        label = f"{count} worker" + ("s" if int(count) > 1 else "")
        _against(left, of, "events_a_second", colour, label)
        _against(right, of, "cpu_us_an_event", colour, label)
    for axes, title, unit in (
        (left, "Throughput, both stages", "input events a second"),
        (right, "CPU of all workers", "µs an event"),
    ):
        _powers_of_two(axes, figures)
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.set_xlabel("partitions of each topic")
        _thousands(axes, "y")
    left.legend(loc="lower right")
    return drawn


def state(figures: Figures) -> Figure:
    drawn, panels = pyplot.subplots(1, 2, figsize=(WIDTH_IN, 3.2), layout="constrained")
    for axes, part, by, label in (
        (panels[0], "leads", "by_leads", "leads in the state of one partition"),
        (panels[1], "history", "by_events", "events that the lead had before"),
    ):
        axes.set_xlabel(label)
        axes.set_ylabel("CPU, µs an event")
        if found := figures.get(part, {}).get(by):
            _against(axes, found, "cpu_us_an_event", OURS)
            _sizes(axes, found)
    panels[0].set_title("Cost against leads in state")
    panels[1].set_title("Cost against history")
    return drawn


def memory(figures: Figures) -> Figure:
    drawn, axes = _canvas(3.2)
    found = figures["by_leads"]
    _against(axes, found, "memory_mb", OURS)
    _fitted(axes, found, figures.get("memory_fit"), 1e-6, "bytes a lead", "memory_mb")
    axes.set_title("Memory of a process with so many leads")
    axes.set_xlabel("leads in state")
    axes.set_ylabel("resident memory, MB")
    _thousands(axes, "y")
    _thousands(axes, "x")
    return drawn


def recovery(figures: Figures) -> Figure:
    drawn, axes = _canvas(3.2)
    found = figures["by_leads"]
    _against(axes, found, "restore_s", OURS)
    fit = figures.get("time_fit") or {}
    if fit:
        xs = [0, max(map(float, found))]
        axes.plot(xs, [fit["intercept"] + fit["slope"] * x for x in xs], "--", color=PEER)
        told = f"{fit['intercept']:.1f} s + {fit['slope'] * 1e6:,.0f} s a million leads"
        axes.annotate(told, (0.03, 0.9), xycoords="axes fraction")
    axes.set_title("From the start of one worker until it processes all partitions")
    axes.set_xlabel("leads in the store")
    axes.set_ylabel("seconds")
    _thousands(axes, "x")
    return drawn


def _canvas(height_in: float) -> tuple[Figure, Axes]:
    return pyplot.subplots(figsize=(WIDTH_IN, height_in), layout="constrained")


def _sign(drawn: Figure, origin: Figures) -> None:
    cores = f"{origin.get('cores', '?')} cores"
    told = [origin.get("date", ""), origin.get("machine", ""), cores]
    command = f"python tests/benchmarks/{origin.get('benchmark', '')}.py"
    drawn.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    drawn.supxlabel(" · ".join(filter(None, [*told, command])), fontsize=8, color="#6e7781",
                    ha="left", x=0.01)  # fmt: skip


def _against(
    axes: Axes, found: Figures, figure: str, colour: str, label: str | None = None
) -> None:
    places = sorted(found, key=float)
    of = [found[place][figure] for place in places]
    axes.errorbar(
        [float(place) for place in places], [each["median"] for each in of], _errors(of),
        marker="o", color=colour, capsize=3, label=label,
    )  # fmt: skip
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    highest = max(each["max"] for each in of)
    axes.set_ylim(0, max(1.1 * highest, axes.get_ylim()[1]))


def _fitted(
    axes: Axes, found: Figures, fit: Figures | None, unit: float, told: str, figure: str
) -> None:
    if not fit:
        return
    least = min(found, key=float)
    empty = found[least][figure]["median"] - fit["slope"] * float(least) * unit
    xs = [0, max(map(float, found))]
    axes.plot(xs, [empty + fit["slope"] * x * unit for x in xs], "--", color=PEER)
    axes.annotate(f"{fit['slope']:,.0f} {told}", (0.03, 0.9), xycoords="axes fraction")


def _errors(of: Sequence[Figures]) -> list[list[float]]:
    return [
        [each["median"] - each["min"] for each in of],
        [each["max"] - each["median"] for each in of],
    ]


def _colour(name: str) -> str:
    return (
        OURS if name.startswith("leadstream") else LIMIT if name[:4] in {"limi", "fold"} else PEER
    )


def _thousands(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _powers_of_two(axes: Axes, figures: Figures) -> None:
    of = figures["by_workers_and_partitions"].values()
    places = sorted({float(place) for each in of for place in each})
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())


def _sizes(axes: Axes, found: Figures) -> None:
    places = sorted(map(float, found))
    axes.set_xscale("log")
    axes.set_xticks(places, [_short(place) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)


def _short(value: float) -> str:
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
