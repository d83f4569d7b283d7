"""Events a second and CPU an event: leadstream, its peers, and its limit, on one broker and log.

The job is the same for all: two input topics (Avro), the lead of each event, whose its ids are, all
of it in `lead.events`; the fold with the shipped model, in which a lead has what its ids did; then
transitions, SLA events, leaks and states. What is measured of it, from when to when, stands in
`_contest.py`. Each run is a fresh process on empty output topics, each answer is compared with the
replay's. Names with `-alone` do the smaller job in which each id is a lead of its own
(`identity_joins` off). `leadstream-known` is as shipped, and its log has the same events without
anything to merge: whoever says once who it is says so in every event. A benchmark's round runs
every contender once, in an order that turns; ratios are of the same round. Events a second are
input events (of the second stage alone: lead events).

All read one log. `--slow-events` gives the slow peers a shorter one, the whole histories of fewer
leads: quicker, and kind to them, since their state stays small.
"""

from __future__ import annotations

import logging
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _contest import (
    CONTENDERS,
    FULL,
    KNOWN,
    SECOND,
    SLOW,
    Contender,
    Contest,
    Run,
    fold_alone,
)
from _lab import Lab, arguments, report
from _leadlog import Log, WrongAnswerError, fill_inputs, make_log
from _standings import plot, standings, table

from leadstream.schemas.settings import Settings

FOLD = "fold"
SETTINGS = {"clock": "event"}
"""History: deadlines follow event time, or each lead's would fire at once."""


def main() -> None:
    # New topics have no leaders for a moment, which the client tells each time that it retries.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=60_000, help="of the log, about")
    parser.add_argument("--slow-events", type=int, help="of the slow peers' log, if not all")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=[*(c.name for c in CONTENDERS), FOLD]
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the figures")
    options = parser.parse_args()
    chosen = [c for c in CONTENDERS if not options.only or c.name in options.only]
    absent = [c.name for c in chosen if c.needs and find_spec(c.needs) is None]
    if absent and options.only:
        parser.error(f"{', '.join(absent)} not installed: pip install 'leadstream[bench]'")
    if absent:
        tell(f"left out, because not installed: {', '.join(absent)}; extra `bench` has them")
        chosen = [c for c in chosen if c.name not in absent]
    tell(f"making the log and its answer, {options.events:,} events")
    logs = {FULL: make_log(options.events)}
    shorter = options.slow_events is not None and options.slow_events < options.events
    if any(c.log == SLOW for c in chosen):
        logs[SLOW] = make_log(options.slow_events) if shorter else logs[FULL]
    if any(c.log == KNOWN for c in chosen):
        logs[KNOWN] = make_log(options.events, is_known=True)
    runs: dict[str, list[Run]] = {c.name: [] for c in chosen}
    with Lab(options.child_path) as lab:
        settings_of = prepare(lab, logs, options.partitions)
        contest = Contest(lab, logs, settings_of)
        warm_up(contest, options.rounds)
        for number in range(options.rounds):
            turn = number % max(1, len(chosen))
            for contender in [*chosen[turn:], *chosen[:turn]]:
                run = attempt(contest, contender)
                runs[contender.name].append(run)
                tell(f"round {number + 1}: {contender.name} {told(run)}")
            if not options.only or FOLD in options.only:
                run = fold_alone(logs[FULL], options.events, settings_of[FULL])
                runs.setdefault(FOLD, []).append(run)
                tell(f"round {number + 1}: {FOLD} {told(run)}")
    figures: dict[str, Any] = {
        "rounds": options.rounds,
        "partitions": options.partitions,
        "log_events": len(logs[FULL].events),
        "slow_log_events": len(logs[SLOW].events) if shorter else None,
        "leads": len(logs[FULL].joined.states),
        **standings(runs),
    }
    if options.plot:
        plot(figures, options.plot)
    if not options.json:
        tell("")
        table(figures)
        return
    report("throughput", figures, as_json=True)


def prepare(lab: Lab, logs: dict[str, Log], partitions: int) -> dict[str, Settings]:
    """Fill the input topics, once for all; return the settings under which they are found."""
    found: dict[str, Settings] = {}
    for name, log in logs.items():
        prefix = f"{name}."
        tell(f"filling {prefix}, {len(log.events):,} events")
        found[name] = lab.settings(prefix, topic_partitions=partitions, **SETTINGS)
        fill_inputs(found[name], log)
    found[SECOND] = lab.settings(f"{SECOND}.", topic_partitions=partitions, **SETTINGS)
    return found


def warm_up(contest: Contest, rounds: int) -> None:
    """Let the broker's compiler see the work before it is measured; not for a single round."""
    if rounds > 1:
        first = next(c for c in CONTENDERS if c.name == "leadstream")
        tell(f"warming up: {told(attempt(contest, first))}")


def attempt(contest: Contest, contender: Contender) -> Run:
    try:
        return contest.run(contender)
    except WrongAnswerError as error:
        raise SystemExit(f"not measured: {error}") from None


def told(run: Run) -> str:
    return f"{run.events_per_s:,.0f} events/s, {run.cpu_us_per_event:.1f} µs CPU an event"


def tell(line: str) -> None:
    """Say on stderr how far it is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
