"""How leadstream scales: workers and partitions, leads in state, long histories, recovery.

Each part varies one thing and fits a line; measurements are interleaved over the rounds. The parts
`leads` and `history` are the lifecycle stage's own code without a broker, each size in a process
of its own; `workers` and `recovery` run workers as shipped on an Apache Kafka.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from _fit import line, medians, spread
from _lab import HISTORY_DAYS, HISTORY_END, Lab, arguments, report

PARTS = ("workers", "leads", "history", "recovery")
EVENTS_A_LEAD = 12.4
"""Of the synthetic market, with visitors nobody knows: how many leads make so many events."""
MEMORY_HEADROOM = 1.3
"""So many times what a size will take must be free before it is tried."""
FLAT_FROM, FLAT_TO = 10_000, 1_000_000
CHILD = Path(__file__).with_name("_state_cost.py")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--events", type=int, default=60_000, help="of the log of `workers`, about")
    parser.add_argument(
        "--leads", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 5_000_000]
    )
    parser.add_argument("--history", type=int, nargs="+", default=[10, 100, 10_000])
    parser.add_argument("--restored", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    figures: dict[str, Any] = {"rounds": options.rounds}
    if "leads" in options.only:
        figures["leads"] = leads(options.leads, options.rounds)
    if "history" in options.only:
        figures["history"] = history(options.history, options.rounds)
    if {"workers", "recovery"} & set(options.only):
        with Lab(options.child_path) as lab:
            if "workers" in options.only:
                figures["workers"] = workers(
                    lab, options.workers, options.partitions, options.events, options.rounds
                )
            if "recovery" in options.only:
                figures["recovery"] = recovery(lab, options.restored, options.rounds)
    report("scale", figures, as_json=options.json)


def leads(sizes: list[int], rounds: int) -> dict[str, Any]:
    """Cost an event and memory a lead against leads in state."""
    bytes_a_lead = in_child({"leads": min(sizes)})["memory_bytes_a_lead"] * MEMORY_HEADROOM
    skipped, fitting = {}, []
    for size in sizes:
        if size * bytes_a_lead > (free := available_bytes()):
            skipped[size] = f"needs {size * bytes_a_lead / 1e9:.0f} GB, {free / 1e9:.0f} are free"
            tell(f"{size} leads: skipped, {skipped[size]}")
        else:
            fitting.append(size)
    found = interleaved(fitting, rounds, lambda size: in_child({"leads": size}))
    costs = medians(found, "cpu_us_an_event")
    flat = [cost for size, cost in costs.items() if FLAT_FROM <= size <= FLAT_TO]
    return {
        "by_leads": found,
        "skipped": skipped,
        "cost_fit": line(costs),
        "cost_highest_to_lowest_10k_to_1m": round(max(flat) / min(flat), 3) if flat else None,
        "memory_fit": line({size: size * b for size, b in memory_of(found).items()}),
    }


def history(lengths: list[int], rounds: int) -> dict[str, Any]:
    """Cost an event against the events that its lead had before."""
    found = interleaved(lengths, rounds, lambda length: in_child({"history": length}))
    costs = medians(found, "cpu_us_an_event")
    return {"by_events": found, "cost_fit": line(costs)}


def workers(
    lab: Lab, counts: list[int], partitions: list[int], events: int, rounds: int
) -> dict[str, Any]:
    """Events a second of both stages, by workers and partitions."""
    from _worker_scale import Pipeline, market_log

    log, lead_events = market_log(round(events / EVENTS_A_LEAD), HISTORY_END, HISTORY_DAYS)
    pipeline = Pipeline(lab, log, lead_events)
    tell("warming the broker up")
    pipeline.run(1, partitions[0])
    cases = [(count, many) for many in partitions for count in counts if count <= many]
    found = interleaved(cases, rounds, lambda case: pipeline.run(*case))
    by_workers: dict[int, dict[int, Any]] = {count: {} for count in counts}
    for (count, many), figures in found.items():
        by_workers[count][many] = figures
    return {
        "events": len(log),
        "by_workers_and_partitions": by_workers,
        "written_an_event": pipeline.written,
        "cost_fit_by_partitions": {
            count: line(medians(of, "cpu_us_an_event")) for count, of in by_workers.items()
        },
    }


def recovery(lab: Lab, sizes: list[int], rounds: int) -> dict[str, Any]:
    """Time from the start of one worker until it processes, by leads in its state."""
    from recovery import fill, restored, sample

    values, _ = sample()
    settings_of = {}
    for size in [0, *sizes]:
        settings_of[size] = lab.settings(f"r{size}.", topic_partitions=8, clock="event")
        fill(settings_of[size], values, size)
    kept = ("restore_s", "cpu_s", "memory_mb", "peak_mb")

    def run(size: int) -> dict[str, float]:
        figures = restored(lab, settings_of[size], 1, size)
        return {name: figures[name] for name in kept}

    tell("warming the broker up")
    run(0)
    found = interleaved([0, *sizes], rounds, run)
    return {"by_leads": found, "time_fit": line(medians(found, "restore_s"))}


def interleaved(
    cases: Iterable[Any], rounds: int, run: Callable[[Any], Mapping[str, float]]
) -> dict[Any, dict[str, Any]]:
    """Run all cases once a round, from the other end every second round; return their spread."""
    cases = list(cases)
    runs: dict[Any, list[Mapping[str, float]]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in cases if number % 2 == 0 else reversed(cases):
            figures = run(case)
            runs[case].append(figures)
            told = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
            tell(f"round {number + 1}, {case}: {told}")
    return {
        case: {name: spread([figures[name] for figures in of]) for name in of[0]}
        for case, of in runs.items()
        if of
    }


def in_child(asked: dict[str, int]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(asked)], stdout=subprocess.PIPE, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def memory_of(found: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    return medians(found, "memory_bytes_a_lead")  # type: ignore[arg-type,return-value]


def available_bytes() -> int:
    told = Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]
    return int(told) * 1024


def tell(line_: str) -> None:
    """Say on stderr how far it is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line_}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
