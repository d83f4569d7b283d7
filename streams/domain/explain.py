"""What a lead lacks to become an MQL, criterion by criterion, in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.criteria import Circumstances, Expression
from leadstream.streams.domain.stages import QUALIFIABLE, Stage
from leadstream.streams.domain.state import FoldState

_QUOTED: Final = r"""["']([^"'\\]*)["']"""
_COUNT: Final = re.compile(
    rf"count\(\s*{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)?\)\s*(>=|>)\s*(\d+)", re.ASCII
)
_SEEN: Final = re.compile(rf"seen\(\s*{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)?\)")
_SCORE: Final = re.compile(
    r"(score\.total|score\.fit|score\.engagement|fit\.score)\s*>=?\s*([\d.]+)"
)
_GRADE: Final = re.compile(r"""fit\.grade\s*<=\s*["']([A-DF])["']""")
_ON_THE_WAY: Final = frozenset((Stage.ANONYMOUS, *QUALIFIABLE))
_KINDS: Final = {"total": "points", "engagement": "engagement points", "fit": "fit points"}


def shortfall(state: FoldState, model: CompiledModel, of: Circumstances) -> list[str]:
    """Return what each MQL criterion lacks, as `name: this, that`; empty where none can come.

    A criterion's expression is taken apart at its outermost `&&`; a part that is none of the
    usual ones is quoted as it stands.
    """
    if state.stage not in _ON_THE_WAY:
        return []
    found = []
    for criterion in model.mql:
        lacks = _lacks(state, criterion, of)
        if lacks:
            found.append(f"{criterion.name}: {', '.join(lacks)}")
    return found


def _lacks(state: FoldState, criterion: CompiledCriterion, of: Circumstances) -> list[str]:
    lacks = []
    if state.stage is Stage.ANONYMOUS:
        lacks.append("nobody knows who it is")
    rests_until = state.cooldown_until or 0
    if state.stage is Stage.NURTURE and rests_until > of.now and not criterion.hand_raise:
        lacks.append(_rest(rests_until))
    if criterion.threshold is not None:
        have, kind = criterion.score_of(of.score), _KINDS[criterion.score]
        if have < criterion.threshold:
            lacks.append(_points_short(criterion.threshold - have, kind, criterion.threshold))
    if criterion.name in state.spent and not criterion.hand_raise:
        lacks.append(
            "has fired already"
            if criterion.disarm is None
            else f"has fired already and arms again below {criterion.disarm:g}"
        )
    lacks += [_in_words(term, of) for term in criterion.terms if not term.holds(of)]
    if criterion.on is not None:
        lacks.append(criterion.comes_with)
    return lacks


def _rest(until: EpochMs) -> str:
    if until >= LATEST_MS:
        return "rests for good"
    return f"rests until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _points_short(missing: float, kind: str, threshold: float) -> str:
    return f"{max(round(missing, 1), 0.1):g} {kind} short of {threshold:g}"


@dataclass(frozen=True, slots=True)
class _Usual:
    """A part of an expression of a usual kind, and what it names."""

    kind: Literal["count", "seen", "score", "grade", "other"]
    names: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def _usual(text: str) -> _Usual:
    text = text.strip()
    kinds: list[tuple[Literal["count", "seen", "score", "grade"], re.Pattern[str]]] = [
        ("count", _COUNT),
        ("seen", _SEEN),
        ("score", _SCORE),
        ("grade", _GRADE),
    ]
    for kind, pattern in kinds:
        if found := pattern.fullmatch(text):
            return _Usual(kind, tuple(group or "" for group in found.groups()))
    return _Usual("other", (text,))


def _in_words(term: Expression, of: Circumstances) -> str:
    usual = _usual(term.text)
    match usual.kind, usual.names:
        case "count", (event_type, window, above, number):
            needed = int(number) + (above == ">")
            within = f" within {window}" if window else ""
            return f"{_counted(term, of)} of {needed} {event_type}{within}"
        case "seen", (event_type, category):
            return f"no {event_type} of {category} seen" if category else f"no {event_type} seen"
        case "score", (variable, threshold):
            kind = _KINDS[variable.removeprefix("score.").replace("fit.score", "fit")]
            needed_points = float(threshold)
            return _points_short(needed_points - of.variable(variable), kind, needed_points)
        case "grade", (grade,):
            best = "A" if grade == "A" else f"{grade} or better"
            return f"grade {of.state.grade}, not {best}"
        case _:
            return f"not true: {usual.names[0]}"


def _counted(term: Expression, of: Circumstances) -> int:
    return int(term.values_of_calls(of)[0])
