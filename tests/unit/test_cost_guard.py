"""The hot path costs no more instructions than is stored, and a slow change would be seen."""

from __future__ import annotations

import os
import shutil

import pytest
from _guarded import GUARDED, PLANTED
from guard import (
    OTHER_BUILD_TOLERANCE,
    REFERENCE,
    SAME_BUILD_TOLERANCE,
    Bounds,
    Costs,
    bounds_of,
    build,
    measure,
    not_comparable,
    stored_bounds,
)

SCENARIOS = [name for name in GUARDED if name != REFERENCE]


@pytest.fixture(scope="module")
def measured() -> Costs:
    if shutil.which("valgrind") is None and not os.environ.get("LEADSTREAM_REQUIRE_VALGRIND"):
        pytest.skip("valgrind counts the instructions: apt-get install valgrind")
    return measure([*GUARDED, *PLANTED])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_costs_no_more_than_its_bound(measured: Costs, scenario: str) -> None:
    if reason := not_comparable(stored_bounds()):
        pytest.skip(reason)
    assert bounds_of(stored_bounds(), measured).excess(scenario, measured[scenario]) is None


@pytest.mark.parametrize("change", PLANTED)
def test_a_slow_change_is_seen(measured: Costs, change: str) -> None:
    scenario, _ = PLANTED[change]
    present = Bounds(measured, 1.0, SAME_BUILD_TOLERANCE)
    assert present.excess(scenario, measured[change]) is not None


def test_every_scenario_has_a_bound() -> None:
    assert set(stored_bounds()["instructions"]) == set(GUARDED)


def test_the_excess_is_told_with_the_mend() -> None:
    told = Bounds({"fold": 1000}, 1.0, 0.03).excess("fold", 1250)
    assert told is not None
    assert '"fold" takes 1,250 instructions each, +25% against 1,000 (tolerance 3%)' in told
    assert "guard.py --update" in told


def test_another_build_is_compared_through_the_reference_work() -> None:
    stored = {"build": {"python": "another"}, "instructions": {REFERENCE: 100, "fold": 1000}}
    bounds = bounds_of(stored, {REFERENCE: 120, "fold": 1200})
    assert bounds == Bounds(stored["instructions"], 1.2, OTHER_BUILD_TOLERANCE)
    assert bounds.excess("fold", 1200) is None
    assert bounds_of(stored | {"build": build()}, {REFERENCE: 120}).scale == 1.0
