"""Which fault comes when: two lanes, one of processes and one of servers, drawn from a seed.

The lanes run beside each other, so faults of different kinds overlap; within a lane one fault is
over before the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Lane = Literal["process", "server"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how often it is drawn, and how long it lasts at least and at most."""

    name: str
    lane: Lane
    weight: float
    hold_s: tuple[float, float] = (0.0, 0.0)
    brokers_min: int = 1
    needs_registry: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; `choice` (0 to 1) says which of the possible targets it hits."""

    kind: str
    pause_s: float
    hold_s: float
    choice: float


KINDS: Final = (
    Kind("worker-kill", "process", 8),
    Kind("worker-freeze", "process", 3, (12, 16)),
    Kind("worker-stop", "process", 2),
    Kind("worker-joins-and-leaves", "process", 2, (8, 14)),
    Kind("sink-kill", "process", 6),
    Kind("sink-freeze", "process", 1, (12, 15)),
    Kind("all-workers-kill", "process", 1),
    Kind("broker-restart", "server", 3),
    Kind("broker-kill", "server", 3, (0, 3)),
    Kind("leader-kill", "server", 3, (0, 8), brokers_min=3),
    Kind("group-coordinator-kill", "server", 2, (0, 8), brokers_min=3),
    Kind("transaction-coordinator-kill", "server", 3, (0, 8), brokers_min=3),
    Kind("broker-freeze", "server", 2, (4, 12)),
    Kind("broker-cut-off", "server", 4, (8, 20), brokers_min=3),
    Kind("produce-refused", "server", 2, (3, 10)),
    Kind("disk-full", "server", 1, (4, 8), brokers_min=3),
    Kind("clickhouse-kill", "server", 3, (0, 6)),
    Kind("clickhouse-kill-in-mid-insert", "server", 3, (0, 2)),
    Kind("clickhouse-away", "server", 2, (8, 20)),
    Kind("clickhouse-freeze", "server", 1, (5, 12)),
    Kind("registry-away", "server", 3, (6, 15), needs_registry=True),
)

PAUSES_S: Final[dict[Lane, tuple[float, float]]] = {"process": (6.0, 18.0), "server": (4.0, 14.0)}


def kinds_for(brokers: int, *, registry: bool, only: frozenset[str] = frozenset()) -> list[Kind]:
    """Return the kinds of fault that a run can have.

    Raises:
        ValueError: `only` names a kind that there is not.
    """
    if unknown := only - {kind.name for kind in KINDS}:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
    return [
        kind
        for kind in KINDS
        if brokers >= kind.brokers_min
        and (registry or not kind.needs_registry)
        and (not only or kind.name in only)
    ]


def faults(seed: int, lane: Lane, kinds: list[Kind]) -> Iterator[Fault]:
    """Yield the faults of a lane without end; the same ones for the same seed.

    Each kind comes once, in random order, before any comes by its weight.
    """
    rng = Random(f"faults/{seed}/{lane}")
    chosen = [kind for kind in kinds if kind.lane == lane]
    first = rng.sample(chosen, len(chosen))
    while chosen:
        kind = first.pop() if first else rng.choices(chosen, [kind.weight for kind in chosen])[0]
        yield Fault(
            kind.name, rng.uniform(*PAUSES_S[lane]), rng.uniform(*kind.hold_s), rng.random()
        )
