"""What a lead lacks to become an MQL, criterion by criterion, in plain words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.criteria import Circumstances, Expression
from leadstream.streams.domain.scoring import circumstances
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
_KINDS: Final = {"total": "points", "engagement": "engagement points", "fit": "fit points"}


def shortfall(state: FoldState, model: CompiledModel, at: EpochMs) -> list[str]:
    """Return what each MQL criterion lacks, as `name: this, that`; empty where none can come.

    A criterion's expression is taken apart at its outermost `&&`; a part that is none of the
    usual ones is quoted as it stands.
    """
    if state.stage not in (Stage.ANONYMOUS, *QUALIFIABLE):
        return []
    of = circumstances(state, model, at)
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
        lacks.append(f"comes with {' or '.join(sorted(criterion.on))}")
    return lacks


def _rest(until: EpochMs) -> str:
    if until >= LATEST_MS:
        return "rests for good"
    return f"rests until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _points_short(missing: float, kind: str, threshold: float) -> str:
    return f"{max(round(missing, 1), 0.1):g} {kind} short of {threshold:g}"


def _in_words(term: Expression, of: Circumstances) -> str:
    text = term.text.strip()
    if count := _COUNT.fullmatch(text):
        event_type, window, above, number = count.groups()
        needed = int(number) + (above == ">")
        have = _counted(term, of)
        within = f" within {window}" if window else ""
        return f"{have} of {needed} {event_type}{within}"
    if seen := _SEEN.fullmatch(text):
        event_type, category = seen.groups()
        return f"no {event_type} of {category} seen" if category else f"no {event_type} seen"
    if score := _SCORE.fullmatch(text):
        kind = _KINDS[score[1].removeprefix("score.").replace("fit.score", "fit")]
        needed_points = float(score[2])
        return _points_short(needed_points - of.variable(score[1]), kind, needed_points)
    if grade := _GRADE.fullmatch(text):
        best = "A" if grade[1] == "A" else f"{grade[1]} or better"
        return f"grade {of.state.grade}, not {best}"
    return f"not true: {text}"


def _counted(term: Expression, of: Circumstances) -> int:
    return int(term.values_of_calls(of)[0])
