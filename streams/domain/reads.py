"""What an expression reads, found in its text: variables, and calls that name what they look at."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

_TEXT: Final = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""")
_UNUSUAL_TEXT: Final = re.compile(r"""\"\"\"|'''|\b[rRbB]+[\x00\x01]""")
_COMPARISON: Final = re.compile(
    r"""(?:score\.\w+|fit\.score|predicted\.score|lead\.cycle|account\.engaged_people|account\.score
    |(?:count|days_since|points|number)\([^()]*\))\s*(>=|<=|>|<)\s*(-?\d{1,15}(?:\.\d+)?)""",
    re.ASCII | re.VERBOSE,
)
_COMPARING: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_MASKED: Final = r"\s*\x00(\d+)\x00\s*"


@dataclass(frozen=True)
class Reads:
    """Variables, and calls as (function, arguments).

    `is_complete` says that nothing else is read: no call computes what it looks at.
    """

    variables: tuple[str, ...]
    calls: tuple[tuple[str, tuple[str, ...]], ...]
    is_complete: bool


def reads_of(text: str, variables: Iterable[str], functions: Iterable[str]) -> Reads:
    """Return what an expression reads; of unusual texts, at least all variables."""
    texts: list[str] = []

    def mask(found: re.Match[str]) -> str:
        texts.append(found[0][1:-1])
        # What has escapes is no plain argument: a call that names it is not among the calls.
        mark = "\x01" if "\\" in found[0] else "\x00"
        return f"{mark}{len(texts) - 1}{mark}"

    masked = _TEXT.sub(mask, text)
    is_unusual = any(_UNUSUAL_TEXT.search(found) for found in (text, masked))
    masked = text if is_unusual else masked
    closed_up = re.sub(r"\s*\.\s*", ".", masked)
    names = "|".join(functions)
    calls = {
        (found[1], tuple(texts[int(place)] for place in found.groups()[1:] if place is not None))
        for found in re.finditer(rf"\b({names})\s*\({_MASKED}(?:,{_MASKED})?\)", masked)
    }
    named = len(re.findall(rf"\b(?:{names})\s*\({_MASKED}(?:,{_MASKED})?\)", masked))
    called = len(re.findall(rf"\b(?:{names})\s*\(", masked))
    return Reads(
        variables=tuple(
            name for name in variables if re.search(rf"\b{re.escape(name)}\b", closed_up)
        ),
        calls=tuple(sorted(calls)),
        is_complete=not is_unusual and named == called,
    )


def comparison_of(text: str) -> tuple[Callable[[Any, Any], bool], float] | None:
    """Return how an expression compares the one number that it reads, and with what.

    Returns None for every other expression.
    """
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        return None
    sign, number = found.groups()
    return _COMPARING[sign], float(number)


def terms_of(text: str) -> list[str]:
    """Return the parts of an expression between its outermost `&&`; all of it if it has others."""
    parts, depth, quote, start = [], 0, "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and (char == "?" or text.startswith("||", place)):
            return [text]
        elif depth == 0 and text.startswith("&&", place):
            parts.append(text[start:place])
            start = place + 2
    return [part.strip() for part in (*parts, text[start:])] if "\\" not in text else [text]


def conjuncts_of(text: str) -> list[str]:
    """Return terms that are all true exactly where the expression is; it alone where in doubt."""
    # What looks like a comment or a long text may hide or show an `&&`.
    return [text] if re.search(r"""//|\"{3}|'{3}""", text) else terms_of(text)
