"""`leadstream reps`: what sales does with the leads that were handed over, rep by rep."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.infra.cli._period import period_options
from leadstream.sinks.feedback.reps import (
    CONVERSIONS,
    EARLY_HOURS,
    FEW_ACTIVITIES,
    WORK_COLUMNS,
    conversion_columns,
    reps,
)

_SHARE_ENDS = ("in_time", "_share", "_rate", "_low", "_high", "_adjusted")


@click.command("reps")
@click.option(
    "--conversion",
    type=click.Choice(CONVERSIONS),
    help="Instead: how many leads became that, adjusted for the grades that each rep was given.",
)
@click.option(
    "--early",
    "early_hours",
    type=click.IntRange(0),
    default=EARLY_HOURS,
    show_default=True,
    help="Turned down within so many hours is early.",
)
@click.option(
    "--few",
    "few_activities",
    type=click.IntRange(0),
    default=FEW_ACTIVITIES,
    show_default=True,
    help="Fewer activities than this are few; turned down after few is early.",
)
@period_options("hand-overs")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    conversion: str | None,
    early_hours: int,
    few_activities: int,
    since: datetime | None,
    until: datetime | None,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show how each rep answers, follows up and turns down what was handed over to them.

    A hand-over belongs to who had the lead at the first response, else to who had it last. Response
    times are business seconds; activities are those logged until the SQL or the end. Given up is
    what was turned down before an SQL, for neither a procedural nor a permanent reason; early is
    what of that was given up too soon.

    With --conversion: the share of the leads whose end is known, with the 95 % interval, and what
    it would be if all reps had the same mix of grades.
    """
    with reader(ctx, data_dir, clickhouse_url) as client:
        rows = reps(client, since, until, early_hours, few_activities)
    columns = WORK_COLUMNS if conversion is None else conversion_columns(conversion)
    print_answer(columns, rows, form, _shown)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{grade} {count}" for grade, count in sorted(value.items()))
    if not isinstance(value, float):
        return value
    return f"{value:.1%}" if name.endswith(_SHARE_ENDS) else f"{value:.1f}"
