"""The throughput benchmark runs, on a tiny log, and checks the answers that it measures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_environment import PEERS, bench_python

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "throughput.py"


def measured(*options: str, python: str = sys.executable) -> dict[str, Any]:
    given = ["--rounds", "1", "--events", "200", "--partitions", "2", "--json", *options]
    done = subprocess.run(
        [python, str(BENCHMARK), *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_leadstream_its_limit_and_the_fold_are_measured(java: None) -> None:
    """Each gives the oracle's answer, or there would be no figures."""
    names = ("leadstream", "leadstream-known", "limit", "fold")
    figures = measured("--only", *names)
    for name in names:
        found = figures["contenders"][name]
        assert found["events_per_s"]["median"] > 0
        assert found["cpu_us_per_event"]["median"] > 0
    for ratio in ("a/d: leadstream / limit", "merges: leadstream / leadstream-known"):
        assert figures["ratios"][ratio]["events_per_s"]["median"] > 0


def test_the_peers_give_the_same_answer(java: None) -> None:
    figures = measured("--only", "faust", *PEERS, python=bench_python())
    assert set(figures["contenders"]) == {"faust", *PEERS}
