"""CEL, checked when the model is loaded: what expressions may read, and how they are evaluated."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from cel_expr_python import cel

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.durations import MS_PER_DAY, MS_PER_SECOND, parse_duration_s
from leadstream.streams.domain.state import FoldState, seen_key

# Scores are DYN because CEL's checker has no operator between double and int, and people write 60.
_T: Final = cel.Type
_LEAD_VARIABLES: Final[Mapping[str, Any]] = {
    "score.total": _T.DYN,
    "score.fit": _T.DYN,
    "score.engagement": _T.DYN,
    "fit.score": _T.DYN,
    "fit.grade": _T.STRING,
    "lead.stage": _T.STRING,
    "lead.cycle": _T.INT,
    "lead.owner": _T.STRING,
    "lead.persona": _T.STRING,
    "lead.buyer_stage": _T.STRING,
}
_EVENT_VARIABLES: Final[Mapping[str, Any]] = {
    f"event.{field}": _T.STRING
    for field in (
        "type", "channel", "source", "medium", "campaign", "content", "term",
        "url", "referrer", "asset", "category", "actor", "owner", "reason", "stage",
    )
}  # fmt: skip
FUNCTIONS: Final = ("count", "seen", "days_since", "attr", "number", "property")
VARIABLES: Final = tuple(_LEAD_VARIABLES) + tuple(_EVENT_VARIABLES)


class ExpressionError(Exception):
    """An expression that CEL refuses, with the fault and a suggestion."""


class Facts:
    """What the functions of the expressions read; bound to one lead at one instant."""

    def __init__(self) -> None:
        self.state = FoldState(lead_id="")
        self.now = 0
        self.properties: Mapping[str, str] = {}

    def count(self, event_type: str) -> int:
        found = self.state.seen.get(event_type)
        return found.count if found else 0

    def count_in(self, event_type: str, window: str) -> int:
        found = self.state.seen.get(event_type)
        if found is None:
            return 0
        start = self.now - parse_duration_s(window) * MS_PER_SECOND
        return sum(1 for at in found.times if start < at <= self.now)

    def seen(self, event_type: str) -> bool:
        return event_type in self.state.seen

    def seen_category(self, event_type: str, category: str) -> bool:
        return seen_key(event_type, category) in self.state.seen

    def days_since(self, event_type: str) -> float:
        found = self.state.seen.get(event_type)
        return (self.now - found.times[-1]) / MS_PER_DAY if found else math.inf

    def attr(self, name: str) -> str:
        return self.state.attributes.get(name, "")

    def number(self, name: str) -> float:
        try:
            return float(self.state.attributes.get(name, "").replace(",", "").replace(" ", ""))
        except ValueError:
            return 0.0

    def property(self, name: str) -> str:
        return self.properties.get(name, "")


class Expression:
    """One checked expression that gives true or false."""

    def __init__(self, text: str, program: Any) -> None:
        self.text = text
        self._program = program

    def holds(self, variables: Mapping[str, Any]) -> bool:
        return bool(self._program.eval(data=variables).value())


class Checker:
    """Compiles expressions over one `Facts`; one a model, and not thread-safe."""

    def __init__(self) -> None:
        self.facts = Facts()
        functions = [
            _function(
                "count", _T.INT, (["s"], self.facts.count), (["s", "s"], self.facts.count_in)
            ),
            _function(
                "seen", _T.BOOL, (["s"], self.facts.seen), (["s", "s"], self.facts.seen_category)
            ),
            _function("days_since", _T.DYN, (["s"], self.facts.days_since)),
            _function("attr", _T.STRING, (["s"], self.facts.attr)),
            _function("number", _T.DYN, (["s"], self.facts.number)),
            _function("property", _T.STRING, (["s"], self.facts.property)),
        ]
        self._env = cel.NewEnv(
            variables={**_LEAD_VARIABLES, **_EVENT_VARIABLES},
            extensions=[cel.CelExtension("leadstream", functions)],
        )

    def compile(self, text: str) -> Expression:
        """Return the checked expression.

        Raises:
            ExpressionError: syntax, unknown name or function, wrong types, or no boolean.
        """
        for window in re.findall(r'\bcount\s*\(\s*"[^"]*"\s*,\s*"([^"]*)"\s*\)', text):
            try:
                parse_duration_s(window)
            except ValueError as error:
                raise ExpressionError(f"count window: {error}") from None
        try:
            program = self._env.compile(text)
        except RuntimeError as error:
            raise ExpressionError(_explain(str(error))) from None
        if program.return_type() not in (_T.BOOL, _T.DYN):
            kind = program.return_type().name().lower()
            raise ExpressionError(f"gives {kind}, not true or false; compare it with something")
        return Expression(text, program)


def _function(name: str, result: Any, *overloads: tuple[list[str], Any]) -> Any:
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(
                f"{name}_{len(parameters)}", result, [_T.STRING] * len(parameters), False, f
            )
            for parameters, f in overloads
        ],
    )


def _explain(message: str) -> str:
    first = message.split("\n", 1)[0]
    found = re.search(r"<input>:\d+:(\d+): (.*)$", first)
    column, fault = (f"column {found[1]}: ", found[2]) if found else ("", first)
    unknown = re.search(r"undeclared reference to '([^']+)'", fault)
    if unknown:
        near = difflib.get_close_matches(unknown[1], (*VARIABLES, *FUNCTIONS), n=1, cutoff=0.5)
        hint = (
            f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(VARIABLES[:6])} …"
        )
        return f'{column}unknown name "{unknown[1]}"{hint}'
    return column + fault


def event_variables(event: Touchpoint | CrmEvent | None) -> dict[str, Any]:
    """Return what expressions read of an event; absent fields are empty."""
    if event is None:
        return {f"event.{name}": "" for name in _EVENT_FIELDS}
    return {f"event.{name}": getattr(event, name, None) or "" for name in _EVENT_FIELDS}


_EVENT_FIELDS: Final = tuple(name.removeprefix("event.") for name in _EVENT_VARIABLES)
