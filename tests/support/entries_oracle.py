"""What became of each lead that entered a stage, and the chances that follow, lead by lead."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

import pandas as pd
from histories import DAY_MS, History

ASIDE = ("nurture", "disqualified", "lost")
FEWEST = 30


def entries(history: History) -> pd.DataFrame:
    """Return the first arrival of each lead in each stage in each cycle, and how it went on."""
    leaks: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for leak in history.leaks.to_dict("records"):
        leaks[leak["lead_id"], leak["cycle"], leak["stage"]].add(leak["leak"])
    found = []
    for lead_id, of_lead in history.transitions.groupby("lead_id"):
        steps = of_lead.sort_values("seq").to_dict("records")
        seen = set()
        for place, step in enumerate(steps):
            stage, cycle = step["to_stage"], step["cycle"]
            if (stage, cycle) in seen:
                continue
            seen.add((stage, cycle))
            win = down = None
            for later in reversed(steps[place:]):
                if later["to_stage"] == "customer" and (stage in ASIDE or later["cycle"] == cycle):
                    win = later
            if win is None and stage not in ASIDE:
                for later in reversed([other for other in steps if other["cycle"] == cycle]):
                    if later["to_stage"] not in ASIDE:
                        break
                    down = later
            at = step["occurred_at"]
            found.append(
                {
                    "lead_id": lead_id,
                    "cycle": cycle,
                    "stage": stage,
                    "inferred": step["inferred"],
                    "grade": step["grade"] or "(none)",
                    "watched": (history.as_of - at) / DAY_MS,
                    "to_win": None if win is None else (win["occurred_at"] - at) / DAY_MS,
                    "to_down": None if down is None else (down["occurred_at"] - at) / DAY_MS,
                    "amount": None if win is None else win["amount"],
                    "currency": "" if win is None else win["currency"] or "",
                    "leaks": sorted(leaks[lead_id, cycle, stage]),
                }
            )
    return pd.DataFrame(found, dtype=object)


class Chances:
    """The chance of a win by stage, grade and age, by the formula written out."""

    def __init__(self, found: pd.DataFrame) -> None:
        real = found[~found.inferred.astype(bool)]
        self._known: dict[Any, tuple[_Share, _Share]] = {}
        for stage, of_stage in real.groupby("stage"):
            self._known[stage] = _shares(of_stage)
            for grade, of_grade in of_stage.groupby("grade"):
                if len(of_grade) >= FEWEST:
                    self._known[stage, grade] = _shares(of_grade)

    def of(self, stage: str, grade: str, age_days: float) -> float | None:
        if stage == "customer":
            return None
        shares = self._known.get((stage, grade)) or self._known.get(stage)
        if shares is None:
            return 0.0
        won, down = shares
        by_now, in_the_end = won.at(age_days), won.at(float("inf"))
        still_open = 1 - by_now - down.at(age_days)
        if still_open <= 0:
            return 0.0
        return min(1.0, max(0.0, (in_the_end - by_now) / still_open))


class _Share:
    """One minus the product of what stays, over every age at which something happened."""

    def __init__(self, ages: pd.Series, happened: pd.Series) -> None:
        self._steps: list[float] = sorted(ages[happened].unique())
        self._shares = [0.0]
        stays = 1.0
        for age in self._steps:
            stays *= 1 - (happened & (ages == age)).sum() / (ages >= age).sum()
            self._shares.append(1 - stays)

    def at(self, age: float) -> float:
        return self._shares[bisect_right(self._steps, age)]


def _shares(found: pd.DataFrame) -> tuple[_Share, _Share]:
    found = found.astype({"to_win": float, "to_down": float, "watched": float})
    return tuple(
        _Share(found[column].fillna(found.watched), found[column].notna())
        for column in ("to_win", "to_down")
    )
