"""How commands are told by what to split an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from leadstream.sinks.velocity.cuts import ATTRIBUTE, FIELDS, WHOLE, checked

F = TypeVar("F", bound=Callable[..., Any])


class Field(click.ParamType):
    """A field of leads, a fact about them, or none."""

    name = "field"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == WHOLE:
            return WHOLE
        try:
            return checked(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def by_option(default: str) -> Callable[[F], F]:
    """Return the option that says by what an answer is split, once or several times."""
    return click.option(
        "--by",
        multiple=True,
        type=Field(),
        default=(default,),
        show_default=True,
        help=f"{', '.join(FIELDS)}, {ATTRIBUTE}NAME for a fact about the person or company, or "
        f"{WHOLE}; several times for a cross cut. Channel, source, medium and campaign are those "
        "of a lead's first touchpoint.",
    )
