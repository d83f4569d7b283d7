"""`leadstream sla`: whether deadlines are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.sinks.handoffs import (
    ATTAINMENT_BY,
    SPEED_COLUMNS,
    attainment,
    attainment_columns,
    speed_to_lead,
)

_SHARES = frozenset({"attainment", "to_sql", "low", "high"})


class TimeZone(click.ParamType):
    """The IANA name of a time zone."""

    name = "time zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return ZoneInfo(value).key
        except (ValueError, OSError, ZoneInfoNotFoundError):
            self.fail(f'"{value}" is no time zone: name one as Europe/Berlin or UTC', param, ctx)


@click.command("sla")
@click.option(
    "--by",
    type=click.Choice(ATTAINMENT_BY),
    default="policy",
    show_default=True,
    help="Split each policy by grade, by owner, or by the hour of the week of the clock's start.",
)
@click.option(
    "--time-zone",
    type=TimeZone(),
    help="Of --by hour, Europe/Berlin say; UTC unless given.",
)
@click.option("--policy", help="Only this policy.")
@click.option(
    "--speed",
    is_flag=True,
    help="Instead: how many leads went on, by how soon they were answered.",
)
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    by: str,
    time_zone: str | None,
    policy: str | None,
    speed: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show how many deadlines were met, met late or breached, and how long answers took.

    Attainment is the share met in time of all clocks that ended or are overdue; clocks that still
    run in time and cancelled ones do not count. Times are business seconds, of the answered ones:
    by the 90th percentile nine in ten were answered.

    With --speed: speed to lead, in hours of the clock on the wall, and with the 95 % interval of
    how many of the leads became SQLs. Quick answers may go to the better leads: compare within a
    policy.
    """
    if time_zone and (by != "hour" or speed):
        raise click.UsageError("--time-zone is of --by hour")
    with reader(ctx, data_dir, clickhouse_url) as client:
        if speed:
            rows = speed_to_lead(client, policy)
        else:
            rows = attainment(client, by, policy, time_zone or "UTC")
    columns = SPEED_COLUMNS if speed else attainment_columns(by)
    print_answer(columns, rows, form, _shown)


def _shown(name: str, value: Any) -> Any:
    return f"{value:.1%}" if name in _SHARES and value is not None else value
