"""The ratio of two rates: its interval holds the true ratio as often as it says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadstream.sinks.feedback.ratios import Effect, Ratio, ratio
from leadstream.sinks.velocity.rates import Z_95, rate


def binomial(successes: int, of: int, chance: float) -> float:
    return math.comb(of, successes) * chance**successes * (1 - chance) ** (of - successes)


@pytest.mark.parametrize(
    ("sizes", "chances"),
    [
        ((15, 15), (0.5, 0.5)),
        ((10, 40), (0.3, 0.6)),
        ((40, 10), (0.9, 0.5)),
        ((25, 60), (0.1, 0.2)),
        ((30, 30), (0.95, 0.9)),
        ((60, 200), (0.4, 0.35)),
    ],
)
def test_the_interval_holds_the_true_ratio_in_95_of_100_samples(
    sizes: tuple[int, int], chances: tuple[float, float]
) -> None:
    """Summed exactly over every sample that there can be."""
    true = chances[0] / chances[1]
    held = 0.0
    for one in range(sizes[0] + 1):
        for other in range(sizes[1] + 1):
            found = ratio(rate(one, sizes[0]), rate(other, sizes[1]))
            if found.low <= true <= found.high:
                held += binomial(one, sizes[0], chances[0]) * binomial(other, sizes[1], chances[1])
    assert 0.93 <= held <= 0.99


def test_of_large_samples_it_is_that_of_logarithms() -> None:
    """Katz's interval (1978), which holds where neither rate is near 0 or 1."""
    found = ratio(rate(4_000, 10_000), rate(3_000, 10_000))
    error = math.sqrt(1 / 4_000 - 1 / 10_000 + 1 / 3_000 - 1 / 10_000)
    assert found.value == pytest.approx(4 / 3)
    assert found.low == pytest.approx(4 / 3 * math.exp(-Z_95 * error), rel=2e-4)
    assert found.high == pytest.approx(4 / 3 * math.exp(Z_95 * error), rel=2e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_interval_holds_the_ratio_and_turns_with_it(
    one: int, more: int, other: int, others: int
) -> None:
    first, second = rate(one, one + more), rate(other, other + others)
    found, turned = ratio(first, second), ratio(second, first)
    assert 0 <= found.low <= found.high
    if found.value is not None:
        assert found.low <= found.value * (1 + 1e-12)
        assert found.value <= found.high * (1 + 1e-12)
    if found.low and math.isfinite(turned.high):
        assert found.low == pytest.approx(1 / turned.high)


@pytest.mark.parametrize(
    ("one", "other", "effect"),
    [
        ((90, 100), (30, 100), Effect.RAISES),
        ((30, 100), (90, 100), Effect.LOWERS),
        ((2_000, 4_000), (2_020, 4_000), Effect.NONE),
        ((3, 5), (2, 5), Effect.TOO_FEW),
        ((3, 3), (9, 9), Effect.TOO_FEW),
        ((0, 4), (0, 9), Effect.TOO_FEW),
        ((0, 0), (5, 9), Effect.TOO_FEW),
    ],
)
def test_what_a_ratio_says(one: tuple[int, int], other: tuple[int, int], effect: Effect) -> None:
    assert ratio(rate(*one), rate(*other)).effect is effect


def test_of_nothing_and_by_nothing_there_is_no_ratio() -> None:
    assert ratio(rate(0, 0), rate(1, 2)) == Ratio(None, 0.0, math.inf)
    by_nothing = ratio(rate(3, 4), rate(0, 9))
    assert by_nothing.value is None
    assert 1 < by_nothing.low < math.inf == by_nothing.high
