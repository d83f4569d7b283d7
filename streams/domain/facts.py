"""What expressions read: variables and functions of a lead at an instant."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.durations import MS_PER_DAY, MS_PER_SECOND, parse_duration_s
from leadstream.streams.domain.state import FoldState, seen_key
from leadstream.streams.domain.state_parts import AccountNow

PREDICTED: Final = "predicted.score"
OF_ACCOUNTS: Final = "account."
"""Begins the variables that tell of a lead's account."""
OF_EVENT: Final = tuple(
    f"event.{field}"
    for field in (
        "type", "channel", "source", "medium", "campaign", "content", "term",
        "url", "referrer", "asset", "category", "actor", "owner", "reason", "stage",
    )
)  # fmt: skip


class Circumstances:
    """What expressions read: a lead at an instant, and the event being judged, if there is one."""

    def __init__(
        self,
        state: FoldState,
        now: EpochMs,
        event: Touchpoint | CrmEvent | None,
        score: Callable[[FoldState, EpochMs], Score],
        points: Callable[[FoldState, EpochMs], Mapping[str, float]] = lambda *_: {},
    ) -> None:
        self.state = state
        self.now = now
        self.event = event
        self._compute_score = score
        self._compute_points = points
        self._score: Score | None = None
        self._points: Mapping[str, float] | None = None
        self._predicted: float | None = None

    @property
    def score(self) -> Score:
        """The score when it was first asked for."""
        if self._score is None:
            self._score = self._compute_score(self.state, self.now)
        return self._score

    def reaches(self, which: str, threshold: float) -> bool:
        """Say whether a score is at a threshold: total, fit or engagement."""
        score: float = getattr(self.score, which)
        return score >= threshold

    def again(self) -> Self:
        """Forget scores and points, since the state has changed."""
        self._score = self._points = self._predicted = None
        return self

    def know_score(self, score: Score) -> None:
        """Take the score from somebody who has computed it already."""
        self._score = score

    @property
    def points(self) -> Mapping[str, float]:
        """What each rule gives to the score when it was first asked for."""
        if self._points is None:
            self._points = self._compute_points(self.state, self.now)
        return self._points

    @property
    def predicted(self) -> float:
        """How likely a handoff succeeds; 0 where nothing predicts it, and no criterion asks."""
        return 0.0

    @property
    def properties(self) -> Mapping[str, str]:
        if isinstance(self.event, Touchpoint):
            return self.event.properties
        return self.event.attributes if self.event is not None else {}

    def variable(self, name: str) -> Any:
        return READERS[name](self)


def _event_reader(field: str) -> Callable[[Circumstances], Any]:
    return lambda of: getattr(of.event, field, None) or ""


def _account(of: Circumstances) -> AccountNow:
    return of.state.account_now or _NO_ACCOUNT


_NO_ACCOUNT: Final = AccountNow("")
READERS: Final[Mapping[str, Callable[[Circumstances], Any]]] = {
    **{name: _event_reader(name.removeprefix("event.")) for name in OF_EVENT},
    "score.total": lambda of: of.score.total,
    "score.fit": lambda of: of.score.fit,
    "score.engagement": lambda of: of.score.engagement,
    "fit.score": lambda of: of.score.fit,
    "fit.grade": lambda of: of.state.grade,
    "lead.stage": lambda of: of.state.stage.value,
    "lead.cycle": lambda of: of.state.cycle,
    "lead.owner": lambda of: of.state.owner or "",
    "lead.persona": lambda of: of.state.persona or "",
    "lead.buyer_stage": lambda of: of.state.buyer_stage or "",
    PREDICTED: lambda of: of.predicted,
    "account.engaged_people": lambda of: _account(of).engaged_people,
    "account.score": lambda of: _account(of).score,
    "account.stage": lambda of: _account(of).stage,
    "account.has_buying_group": lambda of: _account(of).has_buying_group,
}


_NO_SCORE: Final = Score(total=0.0, fit=0.0, engagement=0.0, grade="F")
NOBODY: Final = Circumstances(FoldState(lead_id=""), 0, None, lambda *_: _NO_SCORE)


def number_of(text: str) -> float:
    """Return a text as people write numbers, or 0 where it is none."""
    try:
        return float(text.replace(",", "").replace(" ", ""))
    except ValueError:
        return 0.0


def _count(of: Circumstances, event_type: str) -> int:
    found = of.state.seen.get(event_type)
    return 0 if found is None else found.count


def _count_in(of: Circumstances, event_type: str, window: str) -> int:
    found = of.state.seen.get(event_type)
    if found is None:
        return 0
    start = of.now - parse_duration_s(window) * MS_PER_SECOND
    return sum([1 for at in found.times if start < at <= of.now])


def _seen(of: Circumstances, event_type: str) -> bool:
    return event_type in of.state.seen


def _seen_category(of: Circumstances, event_type: str, category: str) -> bool:
    return seen_key(event_type, category) in of.state.seen


def _days_since(of: Circumstances, event_type: str) -> float:
    found = of.state.seen.get(event_type)
    return (of.now - found.times[-1]) / MS_PER_DAY if found else math.inf


def _points(of: Circumstances, rule: str) -> float:
    return of.points.get(rule, 0.0)


def _attr(of: Circumstances, name: str) -> str:
    return of.state.attributes.get(name, "")


def _number(of: Circumstances, name: str) -> float:
    return number_of(of.state.attributes.get(name, ""))


def _property(of: Circumstances, name: str) -> str:
    return of.properties.get(name, "")


CALLED: Final[Mapping[tuple[str, int], Callable[..., Any]]] = {
    ("count", 1): _count,
    ("count", 2): _count_in,
    ("seen", 1): _seen,
    ("seen", 2): _seen_category,
    ("days_since", 1): _days_since,
    ("points", 1): _points,
    ("attr", 1): _attr,
    ("number", 1): _number,
    ("property", 1): _property,
}
"""What the functions of the expressions give, by name and number of arguments."""
FUNCTIONS: Final = tuple(dict.fromkeys(name for name, _ in CALLED))


def reader_of(name: str, args: tuple[str, ...]) -> Callable[[Circumstances], Any]:
    """Return what reads the value of a call whose arguments are known."""
    called = CALLED[name, len(args)]
    if len(args) > 1:
        return lambda of: called(of, *args)
    only = args[0]
    return lambda of: called(of, only)
