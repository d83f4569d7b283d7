"""The decisions cut in time, and whether there are enough of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.training.decisions import History, Row

TRAINING_SHARE: Final = 0.6
CALIBRATION_SHARE: Final = 0.2
"""The rest is the test part."""
MIN_DECISIONS: Final = 200
MIN_OF_EACH_OUTCOME: Final = 50
MIN_OF_EACH_IN_TRAINING: Final = 25
MIN_OF_EACH_IN_A_LATER_PART: Final = 10
"""With fewer, the interval of the AUC is wider than what it could tell."""
MIN_DAYS: Final = 28
"""A month shows each weekday and the start and end of a month; less is one mood of the market."""


class TooLittleError(Exception):
    """A history that teaches nothing reliable; each lack says what is there and what is wanted."""

    def __init__(self, lacks: Sequence[str], mend: str) -> None:
        self.lacks = tuple(lacks)
        lines = "".join(f"\n  {lack}" for lack in lacks)
        super().__init__(f"too little to train on:{lines}\n{mend}")


@dataclass(frozen=True, slots=True)
class Parts:
    """Earlier decisions to train on, later ones to calibrate with, and the last to test on.

    A lead stands in one part only, that of its first decision; `repeated` of its later ones were
    left out.
    """

    training: list[Row]
    calibrating: list[Row]
    test: list[Row]
    repeated: int


def cut(history: History, outcome: str, horizon_days: int) -> Parts:
    """Cut the decisions in time.

    Raises:
        TooLittleError: lists everything that is missing.
    """
    rows = history.rows
    first = _boundary(rows, TRAINING_SHARE)
    second = _boundary(rows, TRAINING_SHARE + CALIBRATION_SHARE)
    seen: set[str] = set()
    parts: list[list[Row]] = []
    for part in (rows[:first], rows[first:second], rows[second:]):
        parts.append([row for row in part if row.lead_id not in seen])
        seen.update(row.lead_id for row in part)
    training, calibrating, test = parts
    found = Parts(training, calibrating, test, repeated=len(rows) - sum(map(len, parts)))
    lacks = [*_lacks(history, outcome, horizon_days), *_lacks_of_parts(found, outcome)]
    if lacks:
        raise TooLittleError(lacks, _mend(history, outcome, horizon_days))
    return found


def _boundary(rows: Sequence[Row], share: float) -> int:
    """Return where a part ends; decisions of one instant stand on one side."""
    place = round(len(rows) * share)
    while 0 < place < len(rows) and rows[place].at == rows[place - 1].at:
        place += 1
    return place


def positives(rows: Iterable[Row]) -> int:
    """Return how many decisions led to the outcome."""
    return sum(row.is_positive for row in rows)


def outcomes(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return 1 for each decision that led to the outcome, else 0."""
    return np.array([int(row.is_positive) for row in rows], dtype=np.int64)


def _lacks(history: History, outcome: str, horizon_days: int) -> list[str]:
    rows = history.rows
    came = positives(rows)
    days = (rows[-1].at - rows[0].at) / MS_PER_DAY if rows else 0.0
    within = f"{_words(outcome)} within {horizon_days} days"
    return [
        f"{what}: {have:,.0f}, wanted {wanted:,}"
        for what, have, wanted in (
            ("MQL decisions whose outcome is known", len(rows), MIN_DECISIONS),
            (f"of them {within}", came, MIN_OF_EACH_OUTCOME),
            (f"of them not {within}", len(rows) - came, MIN_OF_EACH_OUTCOME),
            ("days from the first of them to the last", days, MIN_DAYS),
        )
        if have < wanted
    ]


def _lacks_of_parts(parts: Parts, outcome: str) -> list[str]:
    return [
        f"{which} part, in time, {word} {_words(outcome)}: {have:,}, wanted {wanted}"
        for which, rows, wanted in (
            ("the training", parts.training, MIN_OF_EACH_IN_TRAINING),
            ("the calibration", parts.calibrating, MIN_OF_EACH_IN_A_LATER_PART),
            ("the test", parts.test, MIN_OF_EACH_IN_A_LATER_PART),
        )
        for word, have in (
            ("that", positives(rows)),
            ("that not", len(rows) - positives(rows)),
        )
        if have < wanted
    ]


def _words(outcome: str) -> str:
    return "became SQL" if outcome == "sql" else "were won"


def _mend(history: History, outcome: str, horizon_days: int) -> str:
    helps = ["a longer history helps (more --events, an earlier --from), or time"]
    if history.young:
        helps.append(
            f"{history.young:,} decisions are younger than {horizon_days} days, so their outcome "
            "is not known: a shorter --horizon-days would count some of them"
        )
    if outcome == "won":
        helps.append("--outcome sql asks for less than a won deal")
    return "; ".join(helps) + "; until then the rules' points are the better guide"
