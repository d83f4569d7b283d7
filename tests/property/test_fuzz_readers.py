"""Valid bytes, damaged: no reader crashes, none hangs, and what is bad is accounted for."""

from __future__ import annotations

import random
import time

import pytest
from fuzz_targets import INTERESTING, TARGETS
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples

INPUT_TIMEOUT_S = 10
EXAMPLES = {"model_file": 40, "topics_file": 15, "settings_file": 60, "mapping_file": 60}
"""Fewer where each one takes milliseconds; elsewhere 300."""


def damaged(seed: bytes, chance: random.Random) -> bytes:
    """Return bytes with some flipped, cut out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice([1, 1, 2, 4, 8, 64]))
        match chance.randrange(6):
            case 0:
                data[start:end] = bytes(b ^ 1 << chance.randrange(8) for b in data[start:end])
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end] * chance.choice([1, 2, 50])
            case 3:
                data[start:end] = chance.choice(INTERESTING)
            case 4:
                data[start:start] = chance.choice(INTERESTING)
            case _:
                del data[start:]
    return bytes(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_reader_takes_its_seeds_and_the_interesting_bytes_alone(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    for seed in (*seeds, *INTERESTING, *(seeds[0][:1] + word for word in INTERESTING)):
        target.run(seed)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_reader_survives_damaged_bytes(name: str) -> None:
    target, seeds = TARGETS[name], TARGETS[name].seeds()

    @examples(EXAMPLES.get(name, 300))
    @given(st.sampled_from(seeds), st.randoms(use_true_random=False))
    def survives(seed: bytes, chance: random.Random) -> None:
        data = damaged(seed, chance)
        began = time.monotonic()
        target.run(data)
        assert time.monotonic() - began < INPUT_TIMEOUT_S

    survives()
