"""How likely a handoff succeeds: features of a lead at an instant, weighed as a score file says.

The same features serve training and the stream processors, and they read only what the fold knows
at the instant: a function of the lead's events so far and of time. None reads the CRM's events,
nor what becoming an MQL changes itself (stage, cycle), so a criterion and the transition that it
causes see the same. Score and features are rounded, so that the last digits of another machine's
logarithm change no decision.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from leadstream.schemas.decisions import Predicted, PredictedContribution
from leadstream.schemas.events import TOUCHPOINT_TYPES
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.facts import Circumstances, number_of

WINDOW_DAYS: Final = 7
TOLD: Final = 10
"""A decision names so many features, the weightiest; the others stand in it as one sum."""
BASE: Final = "(base)"
REST: Final = "(rest)"
HAND_RAISES: Final = (
    "demo_requested",
    "contact_sales_requested",
    "trial_started",
    "meeting_booked",
    "call_inbound",
)
_VALUE_DIGITS: Final = 4
_SCORE_DIGITS: Final = 6
_NAMED: Final = re.compile(r"(\w+)\((.*)\)", re.DOTALL)


class FeatureError(Exception):
    """A feature that a model cannot read; the message names it."""


@dataclass(frozen=True)
class Feature:
    """One feature: what is taken from its value, what that is divided by, and what it weighs."""

    name: str
    mean: float
    scale: float
    weight: float


class Predictor:
    """A logistic regression over features, calibrated: pure, and the same wherever it runs."""

    def __init__(
        self,
        features: Sequence[Feature],
        intercept: float,
        slope: float,
        offset: float,
        told: int = TOLD,
    ) -> None:
        """Make one.

        Args:
            intercept: log-odds of a lead that is average in everything.
            slope: what calibration multiplies log-odds by; `offset` is then added.
            told: how many features `explain` names.
        Raises:
            FeatureError: there is no such feature.
        """
        self.names = tuple(feature.name for feature in features)
        self.base = slope * intercept + offset
        self._means = [feature.mean for feature in features]
        self._weights = [slope * feature.weight / feature.scale for feature in features]
        self._reads = [_reader_of(name) for name in self.names]
        self._told = told

    def values(self, of: Circumstances) -> list[float]:
        """Return the features of a lead at an instant, in the order of `names`."""
        values = [read(of, about) for read, about in self._reads]
        # Most are 0, and rounding costs more than reading.
        return [round(value, _VALUE_DIGITS) if value else 0.0 for value in values]

    def log_odds(self, values: Sequence[float]) -> list[float]:
        """Return what each feature adds to the calibrated log-odds of an average lead."""
        return [
            weight * (value - mean)
            for value, mean, weight in zip(values, self._means, self._weights, strict=True)
        ]

    def probability(self, values: Sequence[float]) -> float:
        """Return how likely these features say that the handoff succeeds, from 0 to 1."""
        return _share_of(self.base + math.fsum(self.log_odds(values)))

    def score(self, of: Circumstances) -> float:
        """Return how likely a lead's handoff at this instant succeeds, to six digits."""
        return round(self.probability(self.values(of)), _SCORE_DIGITS)

    def explain(self, of: Circumstances) -> Predicted:
        """Return the score, and what makes it: features, the weightiest first, rest and base.

        All log-odds together are those of the score.
        """
        values = self.values(of)
        parts = self.log_odds(values)
        order = sorted(range(len(parts)), key=lambda place: (-abs(parts[place]), place))
        told = [
            _contribution(self.names[place], values[place], parts[place])
            for place in order[: self._told]
        ]
        others = [parts[place] for place in order[self._told :]]
        if others:
            told.append(_contribution(REST, float(len(others)), math.fsum(others)))
        told.append(_contribution(BASE, 1.0, self.base))
        score = _share_of(self.base + math.fsum(parts))
        return Predicted(score=round(score, _SCORE_DIGITS), contributions=told)


def refuse_unknown(
    names: Iterable[str], rules: Iterable[str], attributes: Iterable[str] | None
) -> None:
    """Refuse features of rules that a model does not have, and of attributes it does not read.

    Args:
        attributes: None: the model may read any.
    Raises:
        FeatureError: names the feature.
    """
    known_rules = set(rules)
    known_attributes = None if attributes is None else set(attributes)
    for name in names:
        kind, about = _parted(name)
        if kind == "points" and about not in known_rules:
            raise FeatureError(f'feature "{name}" reads a rule that this model does not have')
        if kind == "number" and known_attributes is not None and about not in known_attributes:
            raise FeatureError(f'feature "{name}" reads an attribute that no fit rule reads')


def candidate_names(rules: Iterable[str], numbers: Iterable[str]) -> list[str]:
    """Return the features that a training may use, but for those of the history's own words.

    Args:
        rules: of fit and engagement, without those that count the CRM's events.
        numbers: attributes that fit rules read as numbers.
    """
    return [
        *_PLAIN,
        *(f"points({rule})" for rule in rules),
        *(f"number({name})" for name in numbers),
        *(f"{kind}({each})" for each in sorted(TOUCHPOINT_TYPES) for kind in ("count", "recent")),
    ]


def word_feature(kind: str, word: str) -> str:
    """Return the name of the feature that says whether a lead's `kind` is this word.

    >>> word_feature("channel", "paid_search")
    'channel(paid_search)'
    """
    return f"{kind}({word})"


def _contribution(feature: str, value: float, log_odds: float) -> PredictedContribution:
    # What is added makes 0 of -0.
    return PredictedContribution(
        feature=feature, value=value, log_odds=round(log_odds, _SCORE_DIGITS) + 0.0
    )


def _share_of(log_odds: float) -> float:
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def _parted(name: str) -> tuple[str, str]:
    found = _NAMED.fullmatch(name)
    return (name, "") if found is None else (found[1], found[2])


def _reader_of(name: str) -> tuple[Callable[[Circumstances, str], float], str]:
    kind, about = _parted(name)
    read = _PLAIN.get(kind) if not about else _OF_SOMETHING.get(kind)
    if read is None:
        raise FeatureError(f'there is no feature "{name}"')
    return read, about


def _fit(of: Circumstances, _about: str) -> float:
    return of.score.fit


def _points(of: Circumstances, rule: str) -> float:
    return of.points.get(rule, 0.0)


def _number(of: Circumstances, attribute: str) -> float:
    value = number_of(of.state.attributes.get(attribute, ""))
    return math.log1p(value) if 0.0 < value < math.inf else 0.0


def _count(of: Circumstances, event_type: str) -> float:
    found = of.state.seen.get(event_type)
    return math.log1p(found.count) if found is not None else 0.0


def _recent(of: Circumstances, event_type: str) -> float:
    times = _times_in_window(of, event_type)
    return math.log1p(times) if times else 0.0


def _recent_all(of: Circumstances, _about: str) -> float:
    return math.log1p(sum([_times_in_window(of, each) for each in TOUCHPOINT_TYPES]))


def _times_in_window(of: Circumstances, event_type: str) -> int:
    found = of.state.seen.get(event_type)
    if found is None:
        return 0
    times = found.times
    return bisect_right(times, of.now) - bisect_right(times, of.now - WINDOW_DAYS * MS_PER_DAY)


def _kinds_seen(of: Circumstances, _about: str) -> float:
    return float(sum([each in of.state.seen for each in TOUCHPOINT_TYPES]))


def _asked(of: Circumstances, _about: str) -> float:
    return float(any(each in of.state.seen for each in HAND_RAISES))


def _days_known(of: Circumstances, _about: str) -> float:
    return math.log1p(max(0, of.now - of.state.first_at) / MS_PER_DAY)


def _returned(of: Circumstances, _about: str) -> float:
    return float(of.state.recycled_at is not None)


def _channel(of: Circumstances, word: str) -> float:
    first = of.state.first_touch
    return float(first is not None and first.channel == word)


def _persona(of: Circumstances, word: str) -> float:
    return float(of.state.persona == word)


def _buyer_stage(of: Circumstances, word: str) -> float:
    return float(of.state.buyer_stage == word)


_PLAIN: Final[dict[str, Callable[[Circumstances, str], float]]] = {
    "fit.score": _fit,
    "days_known": _days_known,
    "returned": _returned,
    "asked_for_sales": _asked,
    "kinds_seen": _kinds_seen,
    "recent_touchpoints": _recent_all,
}
_OF_SOMETHING: Final[dict[str, Callable[[Circumstances, str], float]]] = {
    "points": _points,
    "number": _number,
    "count": _count,
    "recent": _recent,
    "channel": _channel,
    "persona": _persona,
    "buyer_stage": _buyer_stage,
}
MEANINGS: Final[dict[str, str]] = {
    "fit.score": "points for who the lead is",
    "days_known": "days since its first event (log1p)",
    "returned": "1 where it came back from nurture",
    "asked_for_sales": "1 where it raised its hand since the last recycle",
    "kinds_seen": "kinds of touchpoints since the last recycle",
    "recent_touchpoints": "touchpoints in the 7 days before (log1p)",
    "points": "what a rule of the model counts for",
    "number": "an attribute that fit rules read as a number (log1p)",
    "count": "touchpoints of a type since the last recycle (log1p)",
    "recent": "touchpoints of a type in the 7 days before (log1p)",
    "channel": "1 where the first touchpoint came through this channel",
    "persona": "1 where the model's persona is this one",
    "buyer_stage": "1 where the buyer's stage is this one",
}
"""What each kind of feature says."""


def meaning_of(name: str) -> str:
    """Return what a feature says, in words."""
    return MEANINGS[_parted(name)[0]]
