"""A chaos run from the command line; exit code 1 unless nothing is lost, doubled or wrong.

python tests/chaos/run.py --seed 1 --minutes 3 --brokers 3 --report report.md
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from .harness import report
from .harness.runner import ChaosError, Options, run


def main() -> int:
    chosen = _arguments()
    if chosen.join:
        report.write([run for path in chosen.join for run in report.read(path)], chosen.report)
        return 0
    options = Options(
        seed=chosen.seed,
        minutes=chosen.minutes,
        brokers=chosen.brokers,
        rate_per_s=chosen.rate,
        workers=chosen.workers,
        static=chosen.static,
        registry=chosen.registry,
        namespaces=not chosen.no_namespaces,
        faults=frozenset(chosen.faults or ()),
        zero_lag_timeout_s=chosen.zero_lag_timeout_s,
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the clock is moved amid the faults
    directory = chosen.directory or Path(tempfile.mkdtemp(prefix="leadstream-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        found = run(options, directory, _say)
    except ChaosError as error:
        _say(f"no verdict: {error}; the logs are in {directory}")
        return 1
    report.write([found], chosen.report)
    _say(f"lost {found['lost']}, doubled {found['doubled']}, wrong {found['wrong']}")
    if found["hanging_left"]:
        _say(f"transactions left open: {found['hanging_left']}")
    return 0 if found["clean"] else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3, help="how long the log is sent")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--rate", type=float, default=120, help="events a second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--static", action="store_true", help="static group membership")
    parser.add_argument("--registry", action="store_true", help="with a schema registry")
    parser.add_argument(
        "--no-namespaces", action="store_true", help="freeze brokers instead of cutting them off"
    )
    parser.add_argument("--faults", nargs="*", help="only these kinds of fault")
    parser.add_argument("--zero-lag-timeout-s", type=float, default=300)
    parser.add_argument("--directory", type=Path, help="for data and logs; default: a new one")
    parser.add_argument("--report", type=Path, required=True, help="writes .md and .json")
    parser.add_argument(
        "--join", type=Path, nargs="*", help="run nothing: join these JSON reports into one page"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
