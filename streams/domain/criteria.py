"""CEL, checked when the model is loaded: how the expressions of a model are evaluated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from cel_expr_python import cel

from leadstream.streams.domain.durations import parse_duration_s
from leadstream.streams.domain.facts import (
    CALLED,
    FUNCTIONS,
    NOBODY,
    OF_ACCOUNTS,
    OF_EVENT,
    PREDICTED,
    READERS,
    Circumstances,
    reader_of,
)
from leadstream.streams.domain.reads import comparison_of, conjuncts_of, reads_of

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
    PREDICTED: _T.DYN,
    "account.engaged_people": _T.INT,
    "account.score": _T.DYN,
    "account.stage": _T.STRING,
    "account.has_buying_group": _T.BOOL,
}
_EVENT_VARIABLES: Final[Mapping[str, Any]] = dict.fromkeys(OF_EVENT, _T.STRING)
_GIVEN: Final[Mapping[str, Any]] = {
    "count": _T.INT,
    "seen": _T.BOOL,
    "attr": _T.STRING,
    "property": _T.STRING,
}
"""The type of what a function gives; DYN where it is not named."""
_OF_EVENT_TYPES: Final = ("count", "seen", "days_since")
# Enough for the values that a criterion reads of the leads of one partition at a time.
REMEMBERED_VERDICTS: Final = 4096
VARIABLES: Final = tuple(_LEAD_VARIABLES) + tuple(_EVENT_VARIABLES)


class ExpressionError(Exception):
    """An expression that CEL refuses, with the fault and a suggestion."""


class Asked:
    """Whom the functions of the expressions are asked about; each evaluation says whom."""

    def __init__(self) -> None:
        self.of = NOBODY


class Expression:
    """One checked expression that gives true or false.

    It is evaluated only when something that it reads has another value: reading costs a
    microsecond, CEL several. Of a conjunction the terms are asked in turn, until one is not true;
    of one number that is compared with another CEL need not be asked.
    """

    def __init__(
        self, text: str, program: Any, asked: Asked, terms: tuple[Expression, ...] = ()
    ) -> None:
        self.text = text
        self.terms = terms
        self.reads = reads_of(text, VARIABLES, FUNCTIONS)
        self._program = program
        self._asked = asked
        self._calls = [reader_of(name, args) for name, args in self.reads.calls]
        self._readers = [*[READERS[name] for name in self.reads.variables], *self._calls]
        readers = self._readers
        self._only = readers[0] if len(readers) == 1 else None if readers else _nothing
        self._compare: Callable[[Any, Any], bool] | None = None
        self._limit = 0.0
        comparison = comparison_of(text) if len(readers) == 1 else None
        if comparison is not None:
            self._compare, self._limit = comparison
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
            if self._compare is not None:
                return self._compare(values, self._limit)
        else:
            values = tuple([read(of) for read in self._readers])
        verdict = self._verdicts.get(values)
        if verdict is None:
            if len(self._verdicts) >= REMEMBERED_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[values] = self.evaluate(of).value() is True
        return verdict

    def values_of_calls(self, of: Circumstances) -> list[Any]:
        """Return what the functions give that name what they look at, in order of their names."""
        return [read(of) for read in self._calls]

    def evaluate(self, of: Circumstances) -> Any:
        """Return CEL's value, of type ERROR where these values cannot be evaluated."""
        self._asked.of = of
        return self._program.eval(data={name: of.variable(name) for name in self.reads.variables})


def _nothing(of: Circumstances) -> None:
    """What an expression reads that is the same for everybody."""


class Checker:
    """Compiles expressions over one `Asked`, each text once; one a model, and not thread-safe.

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
        self._asked = Asked()
        self._compiled: dict[str, Expression] = {}
        functions = [self._function(name) for name in FUNCTIONS]
        self._env = cel.NewEnv(
            variables={**_LEAD_VARIABLES, **_EVENT_VARIABLES},
            extensions=[cel.CelExtension("leadstream", functions)],
        )

    def _function(self, name: str) -> Any:
        overloads = [
            cel.Overload(
                f"{name}_{count}",
                _GIVEN.get(name, _T.DYN),
                [_T.STRING] * count,
                False,
                self._asking(called),
            )
            for (each, count), called in CALLED.items()
            if each == name
        ]
        return cel.FunctionDecl(name, overloads)

    def _asking(self, called: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: called(self._asked.of, *args)

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
        expression = Expression(text, program, self._asked, self._terms(text))
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
        result = expression.evaluate(NOBODY)
        if result.type() == _T.ERROR:
            fault = str(result.value()).split(": ", 1)[-1]
            raise ExpressionError(
                f"fails on a lead that nothing is known of: {fault}; "
                'compare numbers with numbers, read attributes with number("...")'
            )
        if result.type() != _T.BOOL:
            kind = result.type().name().lower()
            raise ExpressionError(f"gives {kind}, not true or false; compare it with something")


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
