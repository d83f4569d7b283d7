"""The benchmarks' figures as Markdown tables, put between markers in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]

NAMES = {
    "leadstream": "leadstream",
    "leadstream-known": "leadstream, nothing to merge",
    "limit": "limit: bare loop",
    "quixstreams": "Quix Streams",
    "bytewax": "Bytewax",
    "faust": "Faust, agent and table",
    "leadstream-identify": "identify alone",
    "limit-identify": "limit of identify",
    "leadstream-lifecycle": "lifecycle alone",
    "limit-lifecycle": "limit of lifecycle",
    "leadstream-alone": "leadstream, ids not joined",
    "limit-alone": "limit, ids not joined",
    "quixstreams-alone": "Quix Streams, ids not joined",
    "bytewax-alone": "Bytewax, ids not joined",
    "faust-alone": "Faust, ids not joined",
    "fold": "fold alone, no Kafka, ids not joined",
}
"""What the contenders of the throughput benchmark are called, in the order of the picture."""


def put(page: Path, tables: Mapping[str, str]) -> list[str]:
    """Replace what stands between `<!-- NAME:begin -->` and its end; return the names found."""
    text = page.read_text("utf-8")
    done = []
    for name, table in tables.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if between.search(text):
            replacement = f"{begin}\n{table.strip()}\n{end}"
            text = between.sub(lambda _, told=replacement: told, text)
            done.append(name)
    page.write_text(text, "utf-8")
    return done


def tables(results: Mapping[str, Figures]) -> dict[str, str]:
    """Return the tables that the results have figures for, by the name of their marker."""
    scale = results.get("scale", {})
    made = {
        "throughput": _throughput(results["throughput"]) if "throughput" in results else "",
        "latency": _latency(results["latency"]) if "latency" in results else "",
        "sink": _sink(results["sink"]) if "sink" in results else "",
        "backfill": _backfill(results["backfill"]) if "backfill" in results else "",
        "analytics": _analytics(results["analytics"]) if "analytics" in results else "",
        "scale-workers": _workers(scale),
        "scale-leads": _leads(scale),
        "scale-history": _history(scale),
        "scale-recovery": _recovery(scale),
    }
    return {name: table for name, table in made.items() if table}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its first column left, the others right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(figures: Figures) -> str:
    """Return when and on what it was measured."""
    told = [figures.get("date", ""), figures.get("machine", ""), f"{figures.get('cores')} cores"]
    return f"*Measured {', '.join(filter(None, told))}.*"


def _throughput(figures: Figures) -> str:
    found = figures["contenders"]
    rows = [
        (
            NAMES.get(name, name),
            _spread(of["events_per_s"], ",.0f"),
            _spread(of["cpu_us_per_event"], ".1f"),
            f"{of['broker_cpu_us_per_event']['median']:.1f}",
            f"{of['peak_mb']:,}",
        )
        for name, of in found.items()
    ]
    head = ("", "events/s", "CPU, µs an event", "broker's CPU, µs an event", "peak, MB")
    ratios = [
        (
            name,
            _spread(of["events_per_s"], ".2f"),
            _spread(of["cpu"], ".2f"),
            f"{of['wanted']:g}" if of["wanted"] else "",
        )
        for name, of in figures.get("ratios", {}).items()
    ]
    told = f"{figures['log_events']:,} events of {figures['leads']:,} leads"
    if slow := figures.get("slow_log_events"):
        told += f" (slow peers: {slow:,} events of fewer leads)"
    told += f", {figures['partitions']} partitions, {figures['rounds']} rounds"
    return "\n\n".join(
        [
            f"Median (least to most). {told}. {origin(figures)}",
            markdown(head, rows),
            markdown(("ratio", "of events/s", "of CPU", "wanted at least"), ratios),
        ]
    )


def _latency(figures: Figures) -> str:
    rates = sorted(int(key[3:]) for key in figures if key.startswith("at_"))
    quantiles = ("p50", "p90", "p99", "p99.9", "max")
    rows = [
        (
            f"{rate:,}",
            *(f"{figures[f'at_{rate}'][f'{q}_ms']:,.1f}" for q in quantiles),
            f"{figures[f'at_{rate}']['worker_cpu_us_an_event']:.0f}",
        )
        for rate in rates
    ]
    head = ("events/s", *(f"{q}, ms" for q in quantiles), "worker's CPU, µs an event")
    return f"{origin(figures)}\n\n{markdown(head, rows)}"


def _sink(figures: Figures) -> str:
    rows = [
        (name.replace("_", " "), f"{of['rows_s']:,}", f"{of['least']:,}", f"{of['most']:,}",
         f"{of['cpu_us_a_row']:.2f}")
        for name, of in figures.items()
        if isinstance(of, Mapping) and "cpu_us_a_row" in of
    ]  # fmt: skip
    ratios = [
        (name.replace("_", " "), f"{of['rows_s']:.2f}", f"{of['cpu']:.2f}")
        for name, of in figures.items()
        if isinstance(of, Mapping) and "cpu" in of
    ]
    return "\n\n".join(
        [
            origin(figures),
            markdown(("", "rows/s, median", "least", "most", "CPU, µs a row"), rows),
            markdown(("ratio", "of rows/s", "of CPU"), ratios),
        ]
    )


def _backfill(figures: Figures) -> str:
    runs = [
        (name, of)
        for name, of in figures.items()
        if isinstance(of, Mapping) and "events_per_s" in of
    ]
    rows = [
        (
            name,
            f"{of['events']:,}",
            f"{of['wall_s']:,.0f}",
            f"{of['events_per_s']:,.0f}",
            f"{of['cpu_us_per_event']:.0f}",
            f"{of['peak_memory_mb']:,}",
        )
        for name, of in runs
    ]
    told = "; ".join(
        f"{key.replace('_', ' ')}: {value}"
        for key, value in figures.get("100 M events", {}).items()
    )
    head = ("", "events", "seconds", "events/s", "CPU, µs an event", "peak of all processes, MB")
    return f"{origin(figures)}\n\n{markdown(head, rows)}\n\nExtrapolated to 100 M events: {told}."


def _workers(scale: Figures) -> str:
    if not (figures := scale.get("workers")):
        return ""
    rows = [
        (
            str(count),
            str(many),
            _spread(of["events_a_second"], ",.0f"),
            _spread(of["cpu_us_an_event"], ".1f"),
        )
        for count, by in figures["by_workers_and_partitions"].items()
        for many, of in by.items()
    ]
    table = markdown(("workers", "partitions", "events/s", "CPU of all workers, µs an event"), rows)
    return f"{figures['events']:,} events, median (least to most). {origin(scale)}\n\n{table}"


def _leads(scale: Figures) -> str:
    if not (figures := scale.get("leads")):
        return ""
    rows = [
        (
            f"{float(size):,.0f}",
            _spread(of["cpu_us_an_event"], ".1f"),
            f"{of['memory_bytes_a_lead']['median']:,.0f}",
            f"{of['memory_mb']['median']:,.0f}",
        )
        for size, of in figures["by_leads"].items()
    ]
    rows += [
        (f"{float(size):,.0f}", f"skipped: {why}", "", "")
        for size, why in figures["skipped"].items()
    ]
    head = ("leads in state", "CPU, µs an event", "memory, bytes a lead", "process, MB")
    first = next(iter(figures["by_leads"].values()))
    told = (
        f"A lead here has {first['events_a_lead']['median']:.1f} events on average; its record in "
        f"the store has {first['stored_bytes_a_lead']['median']:,.0f} bytes."
    )
    flat = figures.get("cost_highest_to_lowest_10k_to_1m")
    told += f" Dearest to cheapest from 10 k to 1 M leads: {flat:.2f}." if flat else ""
    fits = f"{_fit(figures['cost_fit'], 'cost')}{_fit(figures['memory_fit'], 'memory')}"
    return f"{origin(scale)} {told}{fits}\n\n{markdown(head, rows)}"


def _history(scale: Figures) -> str:
    if not (figures := scale.get("history")):
        return ""
    rows = [
        (
            f"{float(length):,.0f}",
            _spread(of["cpu_us_an_event"], ".1f"),
            f"{of['stored_bytes_a_lead']['median']:,.0f}",
            f"{of['memory_bytes_a_lead']['median']:,.0f}",
        )
        for length, of in figures["by_events"].items()
    ]
    head = ("events before", "CPU, µs an event", "record in the store, bytes", "memory, bytes")
    return f"{origin(scale)}{_fit(figures['cost_fit'], 'cost')}\n\n{markdown(head, rows)}"


def _recovery(scale: Figures) -> str:
    if not (figures := scale.get("recovery")):
        return ""
    rows = [
        (
            f"{float(size):,.0f}",
            _spread(of["restore_s"], ".1f"),
            _spread(of["cpu_s"], ".1f"),
            f"{of['memory_mb']['median']:,.0f}",
            f"{of['peak_mb']['median']:,.0f}",
        )
        for size, of in figures["by_leads"].items()
    ]
    head = ("leads", "until it processes, s", "its CPU, s", "memory then, MB", "peak, MB")
    return f"{origin(scale)}{_fit(figures['time_fit'], 'time')}\n\n{markdown(head, rows)}"


def _analytics(figures: Figures) -> str:
    rows = [(f"`{name}`", _spread(of, ".2f")) for name, of in figures["seconds"].items()]
    told = (
        f"{figures['touchpoints_rows']:,} touchpoints, {figures['lead_state_rows']:,} leads, "
        f"{figures['conversions_won']:,} wins; {figures['rounds']} rounds"
    )
    return f"{told}. {origin(figures)}\n\n{markdown(('question', 'seconds'), rows)}"


def _fit(fit: Figures | None, what: str) -> str:
    if not fit:
        return ""
    shape = "a straight line" if fit["is_straight"] else "no straight line"
    return f" The {what} is {shape}: no point lies more than {fit['largest_residual']:.0%} off."


def _spread(of: Figures, form: str) -> str:
    return f"{of['median']:{form}} ({of['min']:{form}} to {of['max']:{form}})"
