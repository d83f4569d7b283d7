"""Markov chains over paths: what each channel is worth is what would be lost without it.

A state is as many touches in a row as the order says, or all of a shorter path; paths begin in
START and end in CONVERSION or NOTHING. The removal effect of a channel is the share of the
probability to convert that goes through a state with that channel in it (Anderl et al. 2016).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Final

import numpy as np

START: Final = ""
CONVERSION: Final = "\x1e1"
NOTHING: Final = "\x1e0"
SEPARATOR: Final = "\x1f"
"""Between the touches of a state."""
MOST_STATES: Final = 2500
"""The matrix of so many is inverted in seconds; time grows with the cube."""
_UNIT: Final = Decimal("0.000000001")

Steps = Iterable[tuple[str, str, int]]
"""From a state, to a state, how often."""


class TooManyStatesError(Exception):
    """The chain has more states than can be solved; the message says what to do."""


def removal_effects(steps: Steps) -> dict[str, float]:
    """Return for each channel what share of the conversions would be lost without it, 0 to 1.

    With the fundamental matrix N = (I - Q)^-1 and h = N r, the probabilities to convert: a walk
    that visits the states S of a channel enters them first in s with N[0,S] N[S,S]^-1.

    Raises:
        TooManyStatesError: more than `MOST_STATES`.
    """
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for origin, target, count in steps:
        counts[origin][target] = counts[origin].get(target, 0) + count
    states = [START, *sorted(counts.keys() - {START})]
    if len(states) > MOST_STATES:
        raise TooManyStatesError(
            f"the chain has {len(states):,} states, and {MOST_STATES:,} can be solved: "
            "ask with a lower --order, or --by a field with fewer values"
        )
    place_of = {state: place for place, state in enumerate(states)}
    stays = np.zeros((len(states), len(states)))
    converts = np.zeros(len(states))
    for origin, targets in counts.items():
        total = sum(targets.values())
        for target, count in targets.items():
            if target == CONVERSION:
                converts[place_of[origin]] = count / total
            elif target != NOTHING:
                stays[place_of[origin], place_of[target]] = count / total
    visits = np.linalg.inv(np.eye(len(states)) - stays)
    reaches = visits @ converts
    of_channel: dict[str, list[int]] = defaultdict(list)
    for place, state in enumerate(states[1:], start=1):
        for channel in set(state.split(SEPARATOR)):
            of_channel[channel].append(place)
    if not reaches[0]:
        return dict.fromkeys(of_channel, 0.0)
    effects = {}
    for channel, places in of_channel.items():
        entered = np.linalg.solve(visits[np.ix_(places, places)].T, visits[0, places])
        # Rounding may leave a hair below nothing.
        effects[channel] = max(0.0, float(entered @ reaches[places] / reaches[0]))
    return effects


def apportion(total: Decimal, weights: Mapping[str, float]) -> dict[str, Decimal]:
    """Return a total in the proportion of the weights; the parts sum to it exactly.

    What rounding to billionths leaves goes to the heaviest.
    """
    whole = sum(weights.values())
    if not whole:
        return {}
    parts = {
        name: (total * Decimal(weight / whole)).quantize(_UNIT, ROUND_FLOOR)
        for name, weight in weights.items()
    }
    heaviest = max(sorted(weights), key=lambda name: weights[name])
    parts[heaviest] += total - sum(parts.values())
    return parts
