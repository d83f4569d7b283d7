"""Removal effects: by hand, against chains solved anew without the channel, and of higher order."""

from __future__ import annotations

import itertools
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadstream.sinks.attribution.chains import (
    CONVERSION,
    MOST_STATES,
    NOTHING,
    SEPARATOR,
    START,
    TooManyStatesError,
    apportion,
    removal_effects,
)

Path = tuple[tuple[str, ...], bool]

PATHS = st.lists(
    st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map(tuple), st.booleans()),
    min_size=1,
    max_size=8,
)


def steps_of(paths: list[Path], order: int) -> list[tuple[str, str, int]]:
    steps = Counter[tuple[str, str]]()
    for path, converts in paths:
        ends = range(min(order, len(path)), len(path) + 1)
        states = [SEPARATOR.join(path[max(0, end - order) : end]) for end in ends]
        steps.update(itertools.pairwise([START, *states, CONVERSION if converts else NOTHING]))
    return [(origin, target, count) for (origin, target), count in steps.items()]


def conversion_rate(steps: list[tuple[str, str, int]], without: str | None = None) -> float:
    """Return the probability to convert, where whoever comes to a channel is lost."""
    states = sorted({origin for origin, _, _ in steps})
    place = {state: n for n, state in enumerate(states)}
    left, right = np.eye(len(states)), np.zeros(len(states))
    for origin in states:
        out = [(target, count) for at, target, count in steps if at == origin]
        total = sum(count for _, count in out)
        for target, count in out:
            if target == CONVERSION:
                right[place[origin]] += count / total
            elif target != NOTHING and without not in target.split(SEPARATOR):
                left[place[origin], place[target]] -= count / total
    return float(np.linalg.solve(left, right)[place[START]])


def test_the_textbook_example() -> None:
    """Four conversions: google twice, mail once, google then mail once; google once in vain."""
    paths = [
        (("g",), True), (("g",), True), (("m",), True), (("g", "m"), True), (("g",), False),
    ]  # fmt: skip
    effects = removal_effects(steps_of(paths, 1))
    assert apportion(Decimal(4), effects) == {"g": Decimal("2.4"), "m": Decimal("1.6")}


@given(PATHS, st.sampled_from([1, 2, 3]))
def test_the_effect_is_what_is_lost_when_the_chain_is_solved_without_the_channel(
    paths: list[Path], order: int
) -> None:
    steps = steps_of(paths, order)
    effects = removal_effects(steps)
    assert set(effects) == {channel for path, _ in paths for channel in path}
    whole = conversion_rate(steps)
    assert whole == pytest.approx(sum(converts for _, converts in paths) / len(paths))
    for channel, effect in effects.items():
        lost = 1 - conversion_rate(steps, channel) / whole if whole else 0
        assert effect == pytest.approx(lost, abs=1e-9)


def test_without_a_conversion_nothing_is_lost() -> None:
    effects = removal_effects(steps_of([(("a", "b"), False)], 1))
    assert effects == {"a": 0.0, "b": 0.0}
    assert apportion(Decimal(0), effects) == {}


def test_a_chain_that_is_too_large_says_what_to_ask_instead() -> None:
    paths: list[Path] = [((f"page-{n}",), True) for n in range(MOST_STATES)]
    with pytest.raises(TooManyStatesError, match=r"2,501 states.*lower --order, or --by a field"):
        removal_effects(steps_of(paths, 1))


@given(
    st.decimals("0", "1000000000", places=2),
    st.dictionaries(st.text(max_size=3), st.floats(0.001, 1), min_size=1, max_size=12),
)
def test_parts_sum_to_the_whole_exactly_and_follow_their_weights(
    total: Decimal, weights: dict[str, float]
) -> None:
    parts = apportion(total, weights)
    assert sum(parts.values()) == total
    whole = sum(weights.values())
    for name, part in parts.items():
        assert float(part) == pytest.approx(float(total) * weights[name] / whole, abs=1e-6)
