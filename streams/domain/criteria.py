"""CEL, checked when the model is loaded: what expressions may read, and how they are evaluated."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Self

from cel_expr_python import cel

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.durations import MS_PER_DAY, MS_PER_SECOND, parse_duration_s
from leadstream.streams.domain.reads import conjuncts_of, reads_of
from leadstream.streams.domain.state import FoldState, seen_key
from leadstream.streams.domain.state_parts import AccountNow

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
    "predicted.score": _T.DYN,
    "account.engaged_people": _T.INT,
    "account.score": _T.DYN,
    "account.stage": _T.STRING,
    "account.has_buying_group": _T.BOOL,
}
_EVENT_VARIABLES: Final[Mapping[str, Any]] = {
    f"event.{field}": _T.STRING
    for field in (
        "type", "channel", "source", "medium", "campaign", "content", "term",
        "url", "referrer", "asset", "category", "actor", "owner", "reason", "stage",
    )
}  # fmt: skip
PREDICTED: Final = "predicted.score"
OF_ACCOUNTS: Final = "account."
"""Begins the variables that tell of a lead's account."""
FUNCTIONS: Final = ("count", "seen", "days_since", "points", "attr", "number", "property")
_OF_EVENT_TYPES: Final = ("count", "seen", "days_since")
# Enough for the values that a criterion reads of the leads of one partition at a time.
REMEMBERED_VERDICTS: Final = 4096
VARIABLES: Final = tuple(_LEAD_VARIABLES) + tuple(_EVENT_VARIABLES)


class ExpressionError(Exception):
    """An expression that CEL refuses, with the fault and a suggestion."""


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
        return _READERS[name](self)


def _event_reader(field: str) -> Callable[[Circumstances], Any]:
    return lambda of: getattr(of.event, field, None) or ""


def _account(of: Circumstances) -> AccountNow:
    return of.state.account_now or _NO_ACCOUNT


_NO_ACCOUNT: Final = AccountNow("")
_READERS: Final[Mapping[str, Callable[[Circumstances], Any]]] = {
    **{name: _event_reader(name.removeprefix("event.")) for name in _EVENT_VARIABLES},
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
    "predicted.score": lambda of: of.predicted,
    "account.engaged_people": lambda of: _account(of).engaged_people,
    "account.score": lambda of: _account(of).score,
    "account.stage": lambda of: _account(of).stage,
    "account.has_buying_group": lambda of: _account(of).has_buying_group,
}


_NO_SCORE: Final = Score(total=0.0, fit=0.0, engagement=0.0, grade="F")
_NOBODY: Final = Circumstances(FoldState(lead_id=""), 0, None, lambda *_: _NO_SCORE)


def number_of(text: str) -> float:
    """Return a text as people write numbers, or 0 where it is none."""
    try:
        return float(text.replace(",", "").replace(" ", ""))
    except ValueError:
        return 0.0


class Facts:
    """What the functions of the expressions read; each evaluation says of whom."""

    def __init__(self) -> None:
        self.of = _NOBODY

    def count(self, event_type: str) -> int:
        found = self.of.state.seen.get(event_type)
        return found.count if found else 0

    def count_in(self, event_type: str, window: str) -> int:
        found = self.of.state.seen.get(event_type)
        if found is None:
            return 0
        start = self.of.now - parse_duration_s(window) * MS_PER_SECOND
        return sum(1 for at in found.times if start < at <= self.of.now)

    def seen(self, event_type: str) -> bool:
        return event_type in self.of.state.seen

    def seen_category(self, event_type: str, category: str) -> bool:
        return seen_key(event_type, category) in self.of.state.seen

    def days_since(self, event_type: str) -> float:
        found = self.of.state.seen.get(event_type)
        return (self.of.now - found.times[-1]) / MS_PER_DAY if found else math.inf

    def points(self, rule: str) -> float:
        return self.of.points.get(rule, 0.0)

    def attr(self, name: str) -> str:
        return self.of.state.attributes.get(name, "")

    def number(self, name: str) -> float:
        return number_of(self.of.state.attributes.get(name, ""))

    def property(self, name: str) -> str:
        return self.of.properties.get(name, "")


class Expression:
    """One checked expression that gives true or false.

    It is evaluated only when something that it reads has another value: reading costs a
    microsecond, CEL several. Of a conjunction the terms are asked in turn, until one is not true.
    """

    def __init__(
        self, text: str, program: Any, facts: Facts, terms: tuple[Expression, ...] = ()
    ) -> None:
        self.text = text
        self.terms = terms
        self.reads = reads_of(text, VARIABLES, FUNCTIONS)
        self._program = program
        self._facts = facts
        self._variables = tuple(_READERS[name] for name in self.reads.variables)
        self._calls = tuple((_reader(facts, name, args), args) for name, args in self.reads.calls)
        readers = [*self._variables, *(_caller(facts, read, args) for read, args in self._calls)]
        self._only = readers[0] if len(readers) == 1 else None if readers else _nothing
        self._verdicts: dict[Any, bool] = {}

    def holds(self, of: Circumstances) -> bool:
        """Say whether it is true; one that cannot be evaluated on these values is not."""
        if self.terms:
            for term in self.terms:  # noqa: SIM110 - a generator costs more than the loop
                if not term.holds(of):
                    return False
            return True
        if not self.reads.is_complete:
            return self.evaluate(of).value() is True
        if self._only is not None:
            values = self._only(of)
        else:
            values = (*[read(of) for read in self._variables], *self.values_of_calls(of))
        verdict = self._verdicts.get(values)
        if verdict is None:
            if len(self._verdicts) >= REMEMBERED_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[values] = self.evaluate(of).value() is True
        return verdict

    def values_of_calls(self, of: Circumstances) -> list[Any]:
        """Return what the functions give that name what they look at, in order of their names."""
        self._facts.of = of
        return [read(*args) for read, args in self._calls]

    def evaluate(self, of: Circumstances) -> Any:
        """Return CEL's value, of type ERROR where these values cannot be evaluated."""
        self._facts.of = of
        return self._program.eval(data={name: of.variable(name) for name in self.reads.variables})


def _nothing(of: Circumstances) -> None:
    """What an expression reads that is the same for everybody."""


def _reader(facts: Facts, name: str, args: tuple[str, ...]) -> Callable[..., Any]:
    overloads = {("count", 2): "count_in", ("seen", 2): "seen_category"}
    reader: Callable[..., Any] = getattr(facts, overloads.get((name, len(args)), name))
    return reader


def _caller(
    facts: Facts, read: Callable[..., Any], args: tuple[str, ...]
) -> Callable[[Circumstances], Any]:
    def call(of: Circumstances) -> Any:
        facts.of = of
        return read(*args)

    return call


class Checker:
    """Compiles expressions over one `Facts`, each text once; one a model, and not thread-safe.

    Args:
        event_types: all that count(), seen() and days_since() may name; None allows any.
        rules: all that points() may name; None allows any.
        predicts: there is something that gives predicted.score.
        has_accounts: leads have accounts, of which expressions may read.
    """

    def __init__(
        self,
        event_types: Collection[str] | None = None,
        rules: Collection[str] | None = None,
        *,
        predicts: bool = True,
        has_accounts: bool = True,
    ) -> None:
        self._predicts = predicts
        self._has_accounts = has_accounts
        self._known = dict.fromkeys(_OF_EVENT_TYPES, ("event type", event_types))
        self._known["points"] = ("rule", rules)
        self._facts = Facts()
        self._compiled: dict[str, Expression] = {}
        functions = [
            _function(
                "count", _T.INT, (["s"], self._facts.count), (["s", "s"], self._facts.count_in)
            ),
            _function(
                "seen", _T.BOOL, (["s"], self._facts.seen), (["s", "s"], self._facts.seen_category)
            ),
            _function("days_since", _T.DYN, (["s"], self._facts.days_since)),
            _function("points", _T.DYN, (["s"], self._facts.points)),
            _function("attr", _T.STRING, (["s"], self._facts.attr)),
            _function("number", _T.DYN, (["s"], self._facts.number)),
            _function("property", _T.STRING, (["s"], self._facts.property)),
        ]
        self._env = cel.NewEnv(
            variables={**_LEAD_VARIABLES, **_EVENT_VARIABLES},
            extensions=[cel.CelExtension("leadstream", functions)],
        )

    def compile(self, text: str, *, of_attributes: bool = False) -> Expression:
        """Return the checked expression.

        Args:
            of_attributes: it may read attr() and number() only, who the lead is.
        Raises:
            ExpressionError: syntax, unknown name or function, wrong types, or no boolean.
        """
        expression = self._compiled.get(text)
        if expression is None:
            expression = self._compiled[text] = self._compile(text)
        if of_attributes:
            _refuse_behaviour(text)
        return expression

    def reads_of_accounts(self) -> frozenset[str]:
        """Return what all expressions so far read of accounts."""
        return frozenset(
            name
            for expression in self._compiled.values()
            for name in expression.reads.variables
            if name.startswith(OF_ACCOUNTS)
        )

    def _compile(self, text: str) -> Expression:
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
        expression = Expression(text, program, self._facts, self._terms(text))
        if not self._predicts and PREDICTED in expression.reads.variables:
            raise ExpressionError(
                f'reads "{PREDICTED}", and this model names no score file: make one with '
                "`leadstream model train`, and name it under `predictive`"
            )
        of_accounts = [v for v in expression.reads.variables if v.startswith(OF_ACCOUNTS)]
        if of_accounts and not self._has_accounts:
            raise ExpressionError(
                f'reads "{of_accounts[0]}", and this model knows no accounts: '
                "write `accounts: {}`"
            )
        for name, args in expression.reads.calls:
            what, known = self._known.get(name, ("", None))
            if known is not None and args[0] not in known:
                raise ExpressionError(f"{name}(): {unknown(what, args[0], known)}")
        self._try(expression)
        return expression

    def _terms(self, text: str) -> tuple[Expression, ...]:
        """Return the terms of a conjunction, which is true where all of them are; else nothing."""
        parts = conjuncts_of(text)
        try:
            return tuple(self.compile(part) for part in parts) if len(parts) > 1 else ()
        except ExpressionError:
            return ()

    def _try(self, expression: Expression) -> None:
        """Evaluate once on an unknown lead: CEL checks scores and conversions only then."""
        result = expression.evaluate(_NOBODY)
        if result.type() == _T.ERROR:
            fault = str(result.value()).split(": ", 1)[-1]
            raise ExpressionError(
                f"fails on a lead that nothing is known of: {fault}; "
                'compare numbers with numbers, read attributes with number("...")'
            )
        if result.type() != _T.BOOL:
            kind = result.type().name().lower()
            raise ExpressionError(f"gives {kind}, not true or false; compare it with something")


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


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Return what to say of a name that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known))}"
    return f'unknown {what} "{name}"; {hint}'


def _refuse_behaviour(text: str) -> None:
    outside_texts = re.sub(r"""("[^"]*"|'[^']*')""", "", text)
    found = re.search(
        r"\b(?:count|seen|days_since|points|property|(?:score|fit|lead|event|predicted|account)\.\w+)",
        outside_texts,
    )
    if found:
        raise ExpressionError(
            f'reads "{found[0]}"; who a lead is may depend on attr() and number() only'
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
