"""A few minutes of faults on three brokers: nothing lost, nothing doubled, nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path

from .harness.runner import Options, run

FAULTS = frozenset(
    """worker-kill worker-freeze worker-joins-and-leaves sink-kill leader-kill broker-cut-off
    transaction-coordinator-kill clickhouse-kill-in-mid-insert""".split()
)


def test_faults_of_the_main_kinds_lose_nothing_and_double_nothing(
    java: None, tmp_path: Path
) -> None:
    """Three brokers, workers and sinks against the verdict of a replay of the same log."""
    options = Options(
        seed=11,
        minutes=0.75,
        brokers=3,
        rate_per_s=60,
        sinks=1,
        partitions=3,
        faults=FAULTS,
        each_once=True,
        pace=0.4,
    )
    report = run(options, tmp_path)
    assert report["clean"], json.dumps(
        [d for d in report["comparisons"] if d["samples"]] + report["hanging_left"], indent=1
    )
    assert {fault["kind"] for fault in report["faults"]} == FAULTS
    assert report["transitions"]["mql"] > 20
    assert report["figures"]["poison records"] > 5
