"""`leadstream funnel`: how many leads reached each stage, and where they are now."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._cuts import by_option
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.sinks.answers import funnel, funnel_columns
from leadstream.sinks.velocity.pipeline import pipeline, pipeline_columns
from leadstream.sinks.velocity.stays import stay_columns, time_in_stage
from leadstream.sinks.velocity.steps import step_columns, steps

_SHARES: Final = frozenset({"rate", "low", "high", "win_chance", "mql_to_sql", "mql_to_customer"})


@click.command("funnel")
@by_option("channel")
@click.option("--steps", "shows_steps", is_flag=True, help="Instead: each step of the line.")
@click.option(
    "--time-in-stage", "shows_stays", is_flag=True, help="Instead: how long leads are in a stage."
)
@click.option(
    "--pipeline",
    "shows_pipeline",
    is_flag=True,
    help="Instead: where the leads are now that may still be won, and what they are worth.",
)
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    by: tuple[str, ...],
    shows_steps: bool,
    shows_stays: bool,
    shows_pipeline: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show how many leads reached each stage or any later one.

    The verdict puts MQL to SQL against the healthy band of 10 to 30 %; a small sample says so.

    With --steps: how many went from each stage to the next, with 95 % intervals, and how many days
    that took. With --time-in-stage: how long visits to a stage last, in days; the last median
    counts in those that are still there. With --pipeline: leads by stage now, their age in it, and
    their open amounts weighted by how likely leads of their stage, grade and age are to be won.
    """
    if shows_steps + shows_stays + shows_pipeline > 1:
        raise click.UsageError("one of --steps, --time-in-stage and --pipeline, not several")
    with reader(ctx, data_dir, clickhouse_url) as client:
        if shows_steps:
            columns, rows = step_columns(*by), steps(client, *by)
        elif shows_stays:
            columns, rows = stay_columns(*by), time_in_stage(client, *by)
        elif shows_pipeline:
            columns, rows = pipeline_columns(*by), pipeline(client, *by)
        else:
            columns, rows = funnel_columns(*by), funnel(client, *by)
            if form == "table":  # for which all of it is too wide: --steps has the interval
                columns = tuple(name for name in columns if name not in ("low", "high"))
    print_answer(columns, rows, form, shown)


def shown(name: str, value: Any) -> Any:
    """Return a value of an answer for people: shares in percent, money with its cents."""
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, float):
        return f"{value:.2%}" if name in _SHARES else f"{value:.1f}"
    return value
