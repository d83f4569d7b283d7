"""Chances: how likely leads of a stage and grade, for so long there, are to be won still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.courses import Course
from leadstream.sinks.velocity.curves import curve

FEWEST: Final = 30
"""A grade of which fewer leads entered a stage tells too little: the stage as a whole tells."""
_ENTRY: Final = np.dtype(
    {
        "names": ["stage", "grade", "age", "won", "age_down", "down"],
        "formats": ["u1", "u1", "f8", "?", "f8", "?"],
    }
)
_KINDS: Final = 256
"""More than there are grades."""


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


def win_chances(client: ClickHouse, of_stages: Collection[str]) -> WinChances:
    """Return how those who entered each of these stages fared, as far as each was watched."""
    stages = sorted(of_stages)
    grades = [
        grade
        for (grade,) in client.query(
            "SELECT DISTINCT if(grade = '', '(none)', toString(grade)) FROM transitions"
        ).rows
    ]
    # Nearly every lead was known once; of those that came further there are few enough to choose.
    narrowed = (
        "1"
        if "known" in of_stages
        else "lead_id IN (SELECT lead_id FROM transitions WHERE to_stage IN {stages:Array(String)})"
    )
    # Of millions of entries, stage and grade come as their places in these lists, from 1.
    entries = client.numbers(
        "SELECT indexOf({stages:Array(String)}, stage)::UInt8, "  # noqa: S608
        "indexOf({grades:Array(String)}, grade)::UInt8, "
        "ifNull(days_to_win, watched_days), isNotNull(days_to_win), "
        "ifNull(days_to_turn_down, watched_days), isNotNull(days_to_turn_down) "
        f"FROM v_entries WHERE NOT inferred AND stage IN {{stages:Array(String)}} AND {narrowed}",
        _ENTRY,
        {"stages": stages, "grades": grades},
    )
    # By column, since rows of several fields take five times as long to sort and to cut.
    kinds = entries["stage"].astype(np.uint16) * _KINDS + entries["grade"]
    order = np.argsort(kinds, kind="stable")
    kinds = kinds[order]
    columns = [entries[name][order] for name in ("age", "won", "age_down", "down")]

    by_grade: dict[tuple[str, str], Course] = {}
    by_stage: dict[str, Course] = {}
    for place, stage in enumerate(stages, 1):
        bounds = np.searchsorted(kinds, place * _KINDS + np.arange(len(grades) + 2)).tolist()
        if bounds[0] == bounds[-1]:
            continue
        by_stage[stage] = _course(columns, bounds[0], bounds[-1])
        for grade, (begin, end) in zip(grades, pairwise(bounds[1:]), strict=True):
            if end - begin >= FEWEST:
                by_grade[stage, grade] = _course(columns, begin, end)
    return WinChances(by_grade, by_stage)


def _course(columns: Sequence[NDArray[Any]], begin: int, end: int) -> Course:
    ages, won, ages_down, down = (column[begin:end] for column in columns)
    return Course(curve(ages, won), curve(ages_down, down))
