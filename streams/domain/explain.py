"""What a lead lacks to become an MQL, criterion by criterion, in plain words.

It is asked for with every state that is told, so each criterion is taken apart once a version of
the model, and what can be said beforehand is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.consent import ROUTING, SCORING, reason_of
from leadstream.streams.domain.criteria import Expression
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.stages import QUALIFIABLE, Stage
from leadstream.streams.domain.state import FoldState, seen_key

_QUOTED: Final = r"""["']([^"'\\]*)["']"""
_COUNT: Final = re.compile(
    rf"count\(\s*{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)?\)\s*(>=|>)\s*(\d+)", re.ASCII
)
_SEEN: Final = re.compile(rf"seen\(\s*{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)?\)")
_SCORE: Final = re.compile(
    r"(score\.total|score\.fit|score\.engagement|fit\.score)\s*>=?\s*([\d.]+)"
)
_PREDICTED: Final = re.compile(r"predicted\.score\s*>=?\s*(\d*\.?\d+)")
_GRADE: Final = re.compile(r"""fit\.grade\s*<=\s*["']([A-DF])["']""")
_ON_THE_WAY: Final = (Stage.ANONYMOUS, *QUALIFIABLE)
# Reaching a member through its enum takes longer than comparing it.
_ANONYMOUS: Final = Stage.ANONYMOUS
_NURTURE: Final = Stage.NURTURE
_KINDS: Final = {"total": "points", "engagement": "engagement points", "fit": "fit points"}
_TOO_CLOSE: Final = 1e-3
_PLANS_KEPT: Final = 16
"""More than the versions of a model, and a candidate beside them, that are asked in turn."""

_Lack = Callable[[Circumstances], str | None]
"""Says what is missing of one term of an expression; None where it holds."""


def shortfall(state: FoldState, model: CompiledModel, of: Circumstances) -> list[str]:
    """Return what each MQL criterion lacks, as `name: this, that`; empty where none can come.

    A criterion's expression is taken apart at its outermost `&&`; a part that is none of the
    usual ones is quoted as it stands.
    """
    stage = state.stage
    if stage not in _ON_THE_WAY:
        return []
    score = of.score
    rest = None
    if stage is _NURTURE and (state.cooldown_until or 0) > of.now:
        rest = _rest(state.cooldown_until or 0)
    found = []
    unscored = unrouted = None
    if state.stops:
        unscored, unrouted = _no_consent(state, model, SCORING), _no_consent(state, model, ROUTING)
    for plan in _plans(model):
        lacks = []
        if unrouted is not None:
            lacks.append(f"waits, {unrouted}" if plan.name == state.held else unrouted)
        if unscored is not None and not plan.hand_raise:
            lacks.append(unscored)
        if stage is _ANONYMOUS:
            lacks.append("nobody knows who it is")
        if rest is not None and not plan.hand_raise:
            lacks.append(rest)
        if plan.threshold is not None:
            short = plan.points_short(score)
            if short is not None:
                lacks.append(short)
        if state.spent and plan.name in state.spent and not plan.hand_raise:
            lacks.append(plan.fired)
        for lack in plan.terms:
            missing = lack(of)
            if missing is not None:
                lacks.append(missing)
        if plan.comes_with is not None:
            lacks.append(plan.comes_with)
        if lacks:
            found.append(f"{plan.name}: {', '.join(lacks)}")
    return found


def _no_consent(state: FoldState, model: CompiledModel, name: str) -> str | None:
    if model.consent is None or name not in state.stops:
        return None
    return f"no consent to {name}: {reason_of(state, model.consent, name)}"


@dataclass(frozen=True)
class _Plan:
    """A criterion, with the words for it that depend on no lead."""

    name: str
    hand_raise: bool
    threshold: float | None
    score: str
    fired: str
    terms: tuple[_Lack, ...]
    comes_with: str | None

    def points_short(self, score: Score) -> str | None:
        """Say how many points are missing to the threshold, which there is."""
        threshold = self.threshold or 0.0
        have = float(getattr(score, self.score))
        if have >= threshold:
            return None
        return _points_short(threshold - have, _KINDS[self.score], threshold)


@lru_cache(maxsize=_PLANS_KEPT)
def _plans(model: CompiledModel) -> tuple[_Plan, ...]:
    return tuple(map(_plan, model.mql))


def _plan(criterion: CompiledCriterion) -> _Plan:
    arms = "" if criterion.disarm is None else f" and arms again below {criterion.disarm:g}"
    return _Plan(
        name=criterion.name,
        hand_raise=criterion.hand_raise,
        threshold=criterion.threshold,
        score=criterion.score,
        fired=f"has fired already{arms}",
        terms=tuple(map(_lack_of, criterion.terms)),
        comes_with=criterion.comes_with if criterion.on is not None else None,
    )


# A resting lead says so with every event, for weeks.
@lru_cache(maxsize=4096)
def _rest(until: EpochMs) -> str:
    if until >= LATEST_MS:
        return "rests for good"
    return f"rests until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _points_short(missing: float, kind: str, threshold: float) -> str:
    scaled = missing * 10
    tenths = int(scaled + 0.5)
    # Scaled, a number between two tenths may fall on the wrong side; `round` does not.
    if abs(scaled + 0.5 - tenths) < _TOO_CLOSE or abs(scaled - 0.5 - tenths) < _TOO_CLOSE:
        tenths = round(round(missing, 1) * 10)
    return _tenths_short(max(tenths, 1), kind, threshold)


@lru_cache(maxsize=4096)
def _tenths_short(tenths: int, kind: str, threshold: float) -> str:
    return f"{tenths / 10:g} {kind} short of {threshold:g}"


def _lack_of(term: Expression) -> _Lack:
    """Return what says of a term what is missing."""
    text = term.text.strip()
    if found := _COUNT.fullmatch(text):
        event_type, window, above, number = found.groups()
        needed = int(number) + (above == ">")
        if not window:
            return _count_lack(event_type, needed)
        return _windowed_count_lack(term, f"of {needed} {event_type} within {window}")
    if found := _SEEN.fullmatch(text):
        return _seen_lack(*found.groups())
    if found := _SCORE.fullmatch(text):
        return _score_lack(term, found[1], float(found[2]))
    if found := _PREDICTED.fullmatch(text):
        return _predicted_lack(term, found[1])
    if found := _GRADE.fullmatch(text):
        return _grade_lack(found[1])
    return lambda of: None if term.holds(of) else f"not true: {text}"


def _count_lack(event_type: str, needed: int) -> _Lack:
    def lack(of: Circumstances) -> str | None:
        seen = of.state.seen.get(event_type)
        count = seen.count if seen is not None else 0
        return None if count >= needed else f"{count} of {needed} {event_type}"

    return lack


def _windowed_count_lack(term: Expression, rest: str) -> _Lack:
    def lack(of: Circumstances) -> str | None:
        return None if term.holds(of) else f"{term.values_of_calls(of)[0]} {rest}"

    return lack


def _seen_lack(event_type: str, category: str | None) -> _Lack:
    key = seen_key(event_type, category)
    missing = f"no {event_type} of {category} seen" if category else f"no {event_type} seen"
    return lambda of: None if key in of.state.seen else missing


def _score_lack(term: Expression, variable: str, threshold: float) -> _Lack:
    kind = _KINDS[variable.removeprefix("score.").replace("fit.score", "fit")]

    def lack(of: Circumstances) -> str | None:
        if term.holds(of):
            return None
        return _points_short(threshold - of.variable(variable), kind, threshold)

    return lack


def _predicted_lack(term: Expression, threshold: str) -> _Lack:
    return lambda of: (
        None if term.holds(of) else f"predicted score {of.predicted:.3f}, not {threshold}"
    )


def _grade_lack(worst: str) -> _Lack:
    best = "A" if worst == "A" else f"{worst} or better"

    def lack(of: Circumstances) -> str | None:
        grade = of.state.grade
        return None if grade <= worst else f"grade {grade}, not {best}"

    return lack
