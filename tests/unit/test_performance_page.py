"""The page's tables come from the benchmarks' results, and only where there is a result."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from _fit import line, spread
from _million import on_paper
from _tables import put, tables
from bench_environment import bench_python

PLOTS = Path(__file__).parents[1] / "benchmarks/plots.py"
PAGE = Path(__file__).parents[2] / "infra/docs/performance.md"
PAGE_TEXT = PAGE.read_text("utf-8")
ORIGIN = {"date": "2026-01-31", "machine": "a machine", "cores": 2}


def contender(events_per_s: float) -> dict[str, Any]:
    return {
        "events_per_s": spread([events_per_s]),
        "cpu_us_per_event": spread([20.0]),
        "broker_cpu_us_per_event": spread([6.0]),
        "peak_mb": 100,
    }


THROUGHPUT = {
    **ORIGIN,
    "rounds": 5, "partitions": 4, "log_events": 1000, "slow_log_events": None, "leads": 80,
    "contenders": {"leadstream": contender(30_000), "faust": contender(1500)},
    "ratios": {
        "a/b: leadstream / faust": {"events_per_s": spread([20.0]), "cpu": spread([19.0]),
                                    "wanted": 15.0}
    },
}  # fmt: skip
QUANTILES = {f"{name}_ms": 5.0 for name in ("p50", "p90", "p99", "p99.9", "max")}
AT_SIZE = {
    name: spread([40.0])
    for name in (
        "cpu_us_an_event", "memory_bytes_a_lead", "memory_mb", "stored_bytes_a_lead",
        "events_a_lead", "restore_s", "cpu_s", "peak_mb", "events_a_second",
    )
}  # fmt: skip
STRAIGHT = line({1: 1.0, 2: 2.0, 3: 3.0})
SCALE = {
    **ORIGIN,
    "workers": {
        "events": 1000,
        "by_workers_and_partitions": {"1": {"4": AT_SIZE}},
        "written_an_event": {"lead.events": {"records": 1.0, "bytes": 300.0}},
    },
    "leads": {
        "by_leads": {"10000": AT_SIZE}, "skipped": {"5000000": "needs 20 GB, 4 are free"},
        "cost_fit": STRAIGHT, "memory_fit": STRAIGHT | {"slope": 900.0},
        "cost_highest_to_lowest_10k_to_1m": 1.1,
    },
    "history": {"by_events": {"10": AT_SIZE}, "cost_fit": {}},
    "recovery": {"by_leads": {"0": AT_SIZE}, "time_fit": STRAIGHT},
}  # fmt: skip
SINK = {
    **ORIGIN,
    "mixed_http_leadstream": {"rows_s": 200_000, "least": 1, "most": 2, "cpu_us_a_row": 3.0},
    "mixed_http_leadstream_to_bare": {"rows_s": 0.9, "cpu": 1.0},
}
BACKFILL = {
    **ORIGIN,
    "2 processes": {
        "events": 5_000_000, "wall_s": 125.0, "events_per_s": 40_000, "cpu_us_per_event": 48.0,
        "peak_memory_mb": 900,
    },
    "100 M events": {"hours": 0.7},
}  # fmt: skip
ANALYTICS = {
    **ORIGIN,
    "rounds": 2, "touchpoints_rows": 10_000, "lead_state_rows": 1000, "conversions_won": 50,
    "seconds": {"linear": spread([1.0, 2.0])},
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "throughput": THROUGHPUT,
    "latency": {**ORIGIN, "at_1000": QUANTILES | {"worker_cpu_us_an_event": 50.0}},
    "scale": SCALE,
    "sink": SINK,
    "backfill": BACKFILL,
    "analytics": ANALYTICS,
}


def test_every_marker_of_the_page_is_a_table_and_every_table_has_a_marker() -> None:
    marked = re.findall(r"<!-- ([\w-]+):begin -->", PAGE_TEXT)
    assert sorted(marked) == sorted([*tables(RESULTS), "million"])


def test_a_table_replaces_what_was_between_its_markers_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE_TEXT, "utf-8")
    for _ in range(2):
        assert put(page, tables(RESULTS)) == list(tables(RESULTS))
        written = page.read_text("utf-8")
        assert (
            written.count("| leadstream | 30,000 (30,000 to 30,000) | 20.0 (20.0 to 20.0) |") == 1
        )
        assert "5,000,000 | skipped: needs 20 GB, 4 are free" in written
        assert "Not measured yet" not in written


def test_what_was_not_measured_has_no_table() -> None:
    assert tables({}) == {}
    assert on_paper({}) == ""


def test_the_million_follows_from_the_figures() -> None:
    told = on_paper(RESULTS)
    # 20 µs an event are 20 cores for a million a second, 33 of them 60 % busy.
    assert "| **workers** (one core each) | **33** |" in told
    assert "| **partitions** of each topic | **80** |" in told
    assert "| **broker cores** | **30** |" in told
    assert "| **memory for the state** | **90 GB** |" in told
    assert "| **sinks**, and inserting threads of ClickHouse | **8** |" in told


def test_the_command_draws_small_pictures_with_a_ground_of_their_own(tmp_path: Path) -> None:
    results = []
    for name, figures in RESULTS.items():
        results.append(tmp_path / f"{name}.json")
        results[-1].write_text(json.dumps(figures | {"benchmark": name}), "utf-8")
    page = tmp_path / "page.md"
    page.write_text(PAGE_TEXT, "utf-8")
    drawn = tmp_path / "drawn"
    subprocess.run(
        [bench_python(), PLOTS, *results, "--output", drawn, "--pages", page],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = list(drawn.iterdir())
    assert {file.stem for file in files} == set(re.findall(r"performance/([\w-]+)\.svg", PAGE_TEXT))
    for file in files:
        assert file.stat().st_size < 60_000
        assert "fill: #ffffff" in file.read_text("utf-8")
    assert "| leadstream | 30,000 (30,000 to 30,000) |" in page.read_text("utf-8")


def test_a_line_tells_how_far_its_worst_point_lies_off() -> None:
    assert line({0: 1.0, 1: 3.0, 2: 5.0}) == {
        "slope": 2.0, "intercept": 1.0, "largest_residual": 0.0, "is_straight": True,
    }  # fmt: skip
    assert not line({0: 1.0, 1: 4.0, 2: 1.0})["is_straight"]
    assert line({0: 1.0, 1: 3.0}) == {}
