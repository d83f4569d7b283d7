"""Cuts: by which facts about leads an answer is split; several together cut across."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FIELDS: Final = (
    "channel",
    "source",
    "medium",
    "campaign",
    "owner",
    "grade",
    "persona",
    "interest",
)
"""Columns of `v_leads`; where a lead has none, the value is (none)."""
ATTRIBUTE: Final = "attribute:"
"""What stands before the name of a fact about the person or company."""
WHOLE: Final = "none"
"""No cut: all leads together."""


@dataclass(frozen=True)
class Cut:
    """How the rows of an answer over `v_leads` are keyed.

    Attributes:
        names: as asked; the keys of an answer's objects, in their order.
    """

    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The expressions of the keys, each with its alias."""
        return tuple(
            f"{self._value(number, name)} AS cut_{number}" for number, name in enumerate(self.names)
        )

    @property
    def aliases(self) -> tuple[str, ...]:
        """What the keys are called in a query."""
        return tuple(f"cut_{number}" for number in range(len(self.names)))

    @property
    def parameters(self) -> dict[str, str]:
        """The bound parameters of `columns`: names of attributes are whatever users call them."""
        return {
            f"attribute_{number}": name.removeprefix(ATTRIBUTE)
            for number, name in enumerate(self.names)
            if name.startswith(ATTRIBUTE)
        }

    def key_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a row under their names."""
        return {name: row[f"cut_{number}"] for number, name in enumerate(self.names)}

    def _value(self, number: int, name: str) -> str:
        if not name.startswith(ATTRIBUTE):
            return name
        value = f"attributes[{{attribute_{number}:String}}]"
        return f"if({value} = '', '(none)', {value})"


def cut(*by: str) -> Cut:
    """Return the cut by these fields; a repeated one counts once, `none` is no cut.

    Raises:
        ValueError: none of `FIELDS`, nor attribute:NAME; the message says what there is.
    """
    return Cut(tuple(dict.fromkeys(checked(name) for name in by if name != WHOLE)))


def checked(name: str) -> str:
    """Return the name of a field.

    Raises:
        ValueError: as `cut`.
    """
    if name in FIELDS or (name.startswith(ATTRIBUTE) and name != ATTRIBUTE):
        return name
    near = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise ValueError(
        f'"{name}" is none of {", ".join(FIELDS)} and attribute:NAME (attribute:country, say){hint}'
    )
