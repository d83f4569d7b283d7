"""Rates with their intervals, and curves against lifelines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadstream.sinks.velocity.courses import Course
from leadstream.sinks.velocity.curves import curve
from leadstream.sinks.velocity.forecast import arriving, month_after
from leadstream.sinks.velocity.rates import Verdict, rate, verdict

LIFELINES = json.loads((Path(__file__).parents[1] / "golden/lifelines.json").read_text("utf-8"))


@pytest.mark.parametrize("sample", LIFELINES, ids=range(len(LIFELINES)))
def test_a_curve_is_that_of_lifelines(sample: dict[str, Any]) -> None:
    """As the package told once; see tests/support/make_curve_golden.py."""
    found = curve(sample["ages"], sample["moved"])
    for age, stays in sample["stays"]:
        assert found.at(age) == pytest.approx(1 - stays, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_a_curve_multiplies_what_stays_of_those_still_watched(
    watched: list[tuple[int, bool]],
) -> None:
    found = curve([age for age, _ in watched], [moved for _, moved in watched])
    stays, terms = Fraction(1), Fraction(0)
    for age in range(10):
        at_risk = sum(a >= age for a, _ in watched)
        gone = sum(a == age and moved for a, moved in watched)
        if gone:
            stays *= Fraction(at_risk - gone, at_risk)
            if at_risk > gone:
                terms += Fraction(gone, at_risk * (at_risk - gone))
        assert found.at(age) == pytest.approx(float(1 - stays))
        # Greenwood's formula.
        assert found.error_at(age) == pytest.approx(float(stays) * float(terms) ** 0.5)


def test_a_curve_of_nobody_knows_nothing() -> None:
    found = curve([], [])
    assert (found.at(5), found.error_at(5), found.watched, found.age_of(0.5)) == (0, 0, 0, None)


def test_half_have_moved_on_by_the_median() -> None:
    found = curve([1, 2, 3, 4], [True, True, False, True])
    assert found.age_of(0.5) == 2
    assert found.later(2, 4) == pytest.approx(1.0)
    assert found.later(2, 3) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("ages", "moved", "says"),
    [([1.0], [True, False], "1 ages and 2 outcomes"), ([-1.0], [True], "before the beginning")],
)
def test_a_curve_of_nonsense_is_refused(ages: list[float], moved: list[bool], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        curve(ages, moved)


def test_an_interval_is_that_of_the_textbook() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611."""
    found = rate(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    none = rate(0, 20)
    assert (none.low, round(none.high, 4)) == (0, 0.1611)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_what_was_observed(sample: tuple[int, int]) -> None:
    found = rate(*sample)
    assert 0 <= found.low <= (found.value or 0) <= found.high <= 1


@pytest.mark.parametrize(
    ("successes", "of", "expected"),
    [
        (0, 0, Verdict.TOO_FEW),
        (1, 5, Verdict.TOO_FEW),
        (0, 200, Verdict.BELOW),
        (80, 1000, Verdict.BELOW),
        (200, 1000, Verdict.WITHIN),
        (320, 1000, Verdict.ABOVE),
        (9, 10, Verdict.ABOVE),
    ],
)
def test_a_verdict_needs_a_sample(successes: int, of: int, expected: Verdict) -> None:
    assert verdict(rate(successes, of)) is expected


def test_more_successes_than_tries_are_no_rate() -> None:
    with pytest.raises(ValueError, match="3 of 2 is no rate"):
        rate(3, 2)


def test_who_is_open_moves_on_as_those_did_who_were_open_at_that_age() -> None:
    """Of ten leads two move on after 5 days, three after 20, four are turned down after 10."""
    moved = curve([5] * 2 + [20] * 3 + [30] * 5, [True] * 5 + [False] * 5)
    left = curve([30] * 5 + [10] * 4 + [30], [False] * 5 + [True] * 4 + [False])
    course = Course(moved, left)
    ages = np.array([0.0, 6.0, 11.0, 25.0])
    assert course.chances(ages) == pytest.approx([5 / 10, 3 / 8, 3 / 4, 0])
    assert course.chances(ages, within=5) == pytest.approx([2 / 10, 0, 0, 0])
    # One a day for ten days, a fifth of them after five: those of the first five days.
    assert arriving(course, 10) == pytest.approx(1.0)


def test_a_month_ends_where_the_next_begins() -> None:
    assert month_after(datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert month_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)
