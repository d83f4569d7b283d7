"""Whether figures differ by more than chance, against counting every way it could have come."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest

from leadstream.infra.report.chance import (
    LEVEL,
    Certainty,
    level_of_many,
    of_counts,
    of_rates,
    of_samples,
)
from leadstream.infra.report.outliers import low_rates, slow_owners
from leadstream.sinks.velocity.rates import rate


def chance_of_counts(this: int, before: int) -> Fraction:
    """How often two like weeks differ so much: each lead falls into either alike."""
    both = this + before
    as_likely = [n for n in range(both + 1) if comb(both, n) <= comb(both, this)]
    return Fraction(sum(comb(both, n) for n in as_likely), 2**both)


@pytest.mark.parametrize(
    ("this", "before"), [(a, b) for a in range(0, 22, 3) for b in range(0, 22, 2)]
)
def test_counts_differ_where_chance_would_seldom_part_them_so(this: int, before: int) -> None:
    told = of_counts(this, before)
    if this + before < 6:  # 0 and 5 come about in 2 of 32 cases
        assert told is Certainty.FEW
    else:
        assert (told is Certainty.REAL) == (chance_of_counts(this, before) <= LEVEL)


def chance_of_rates(a: int, of_a: int, b: int, of_b: int) -> Fraction:
    """How often so many successes among all fall to the two so unevenly."""
    successes = a + b

    def ways(n: int) -> int:
        return comb(of_a, n) * comb(of_b, successes - n) if 0 <= successes - n <= of_b else 0

    as_likely = [n for n in range(of_a + 1) if ways(n) <= ways(a)]
    return Fraction(sum(map(ways, as_likely)), comb(of_a + of_b, successes))


@pytest.mark.parametrize(
    ("a", "of_a", "b", "of_b"),
    [(1, 17, 9, 25), (0, 9, 5, 9), (2, 12, 9, 12), (6, 19, 3, 12), (7, 8, 2, 11), (5, 5, 0, 5)],
)
def test_shares_differ_where_chance_would_seldom_part_them_so(
    a: int, of_a: int, b: int, of_b: int
) -> None:
    told = of_rates(rate(a, of_a), rate(b, of_b))
    assert (told is Certainty.REAL) == (chance_of_rates(a, of_a, b, of_b) <= LEVEL)


def test_a_handful_tells_nothing() -> None:
    assert of_rates(rate(4, 4), rate(0, 100)) is Certainty.FEW
    assert of_samples([1.0] * 4, [9.0] * 100) is Certainty.FEW
    assert of_counts(0, 0) is Certainty.FEW


def chance_of_samples(one: list[float], other: list[float]) -> Fraction:
    """How often a draw of so many from all lies so far off, by ranks; without ties."""
    ranks = {value: place for place, value in enumerate(sorted(one + other), 1)}
    middle = Fraction(len(one) * (len(ranks) + 1), 2)
    seen = abs(sum(ranks[value] for value in one) - middle)
    draws = list(combinations(range(1, len(ranks) + 1), len(one)))
    return Fraction(sum(abs(sum(draw) - middle) >= seen for draw in draws), len(draws))


@pytest.mark.parametrize("shift", [0, 2, 4, 6, 9])
def test_samples_differ_where_a_draw_would_seldom_lie_so_far_off(shift: int) -> None:
    one = [1.0 + shift, 3.1 + shift, 5.2 + shift, 7.3 + shift, 9.4 + shift, 11.5 + shift]
    other = [0.6, 2.7, 4.8, 6.9, 8.95, 10.05, 12.15]
    told = of_samples(one, other)
    assert (told is Certainty.REAL) == (chance_of_samples(one, other) <= LEVEL)


def test_many_comparisons_together_keep_the_level() -> None:
    assert level_of_many(10) == LEVEL / 10
    # 4 of 20 and 100 of 200 differ once, but not where forty were looked at.
    this, others = rate(4, 20), rate(100, 200)
    assert of_rates(this, others) is Certainty.REAL
    assert of_rates(this, others, level_of_many(40)) is Certainty.CHANCE


def test_a_low_rate_is_told_beside_that_of_the_others() -> None:
    rows = [
        {"value": "a", "yes": 40, "of": 60},
        {"value": "b", "yes": 45, "of": 60},
        {"value": "c", "yes": 12, "of": 60},
        {"value": "d", "yes": 0, "of": 3},
    ]
    (found,) = low_rates(rows, "yes", "of")
    assert found.value == "c"
    assert (found.rate.successes, found.others.successes, found.others.of) == (12, 85, 123)


def test_whoever_answers_a_grade_late_is_told_in_hours() -> None:
    rows = [
        {"owner": "quick", "grade": "A", "seconds": [600 + n for n in range(12)]},
        {"owner": "slow", "grade": "A", "seconds": [36_000 + n for n in range(11)]},
        {"owner": "slow", "grade": "B", "seconds": [1] * 50},
        {"owner": "(none)", "grade": "A", "seconds": [90_000] * 20},
        {"owner": "new", "grade": "A", "seconds": [90_000] * 3},
    ]
    (found,) = slow_owners(rows, "A")
    assert found.owner == "slow"
    assert found.answers == 11
    assert found.median_h == pytest.approx(36_005 / 3600)
    assert found.others_median_h == pytest.approx(605.5 / 3600)
