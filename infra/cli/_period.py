"""The options --from and --to of commands that answer for a period."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click


class Instant(click.ParamType):
    """A day, or a time with an offset; both become aware."""

    name = "day or time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f'"{value}" is neither a day (2026-03-01) nor a time (2026-03-01T08:00:00Z)',
                param,
                ctx,
            )
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def period_options(of: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what gives a command `since` and `until`: only what lies between them counts.

    Args:
        of: what is counted, in the plural, for the help text.
    """

    def given(command: Callable[..., Any]) -> Callable[..., Any]:
        until = click.option(
            "--to", "until", type=Instant(), help=f"Only {of} before this day or time."
        )
        since = click.option(
            "--from", "since", type=Instant(), help=f"Only {of} from this day or time on."
        )
        return since(until(command))

    return given
