"""Chances: how likely leads of a stage and grade, for so long there, are to be won still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.courses import Course
from leadstream.sinks.velocity.curves import curve

FEWEST: Final = 30
"""A grade of which fewer leads entered a stage tells too little: the stage as a whole tells."""


@dataclass(frozen=True)
class WinChances:
    """The courses of those who entered each stage, by stage and grade, and by stage alone."""

    by_grade: Mapping[tuple[str, str], Course]
    by_stage: Mapping[str, Course]

    def of(self, stage: str, grade: str, ages_days: Sequence[float]) -> list[float]:
        """Return the chance of a win of leads that have been in a stage for so long.

        A lead that is neither won nor turned down at its age becomes a customer with the chance of
        those who were so at that age: `Course.chances`. Where nobody entered its stage, 0.
        """
        course = self.by_grade.get((stage, grade)) or self.by_stage.get(stage)
        if course is None:
            return [0.0] * len(ages_days)
        found: list[float] = course.chances(np.asarray(ages_days, np.float64)).tolist()
        return found

    def of_each(self, leads: Sequence[tuple[str, str, float]]) -> list[float]:
        """Return the chance of each of these (stage, grade, age in days), as `of`."""
        places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, (stage, grade, _) in enumerate(leads):
            places[stage, grade].append(place)
        chances = [0.0] * len(leads)
        for (stage, grade), where in places.items():
            found = self.of(stage, grade, [leads[place][2] for place in where])
            for place, chance in zip(where, found, strict=True):
                chances[place] = chance
        return chances


def win_chances(client: ClickHouse) -> WinChances:
    """Return how those who entered each stage fared, as far as each was watched."""
    rows = client.query(
        "SELECT stage, grade, "
        "groupArray(ifNull(days_to_win, watched_days)) AS ages, "
        "groupArray(isNotNull(days_to_win)) AS won, "
        "groupArray(ifNull(days_to_turn_down, watched_days)) AS ages_down, "
        "groupArray(isNotNull(days_to_turn_down)) AS down "
        "FROM v_entries WHERE NOT inferred GROUP BY stage, grade"
    ).rows
    samples: dict[str, list[list[float]]] = defaultdict(lambda: [[], [], [], []])
    by_grade = {}
    for stage, grade, *sample in rows:
        for whole, part in zip(samples[stage], sample, strict=True):
            whole.extend(part)
        if len(sample[0]) >= FEWEST:
            by_grade[stage, grade] = _course(sample)
    return WinChances(by_grade, {stage: _course(sample) for stage, sample in samples.items()})


def _course(sample: Sequence[Sequence[float]]) -> Course:
    ages, won, ages_down, down = sample
    return Course(curve(ages, [bool(w) for w in won]), curve(ages_down, [bool(d) for d in down]))
