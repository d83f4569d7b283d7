"""`leadstream reasons`: why leads were turned down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.sinks.reasons import (
    REASONS_BY,
    WORDING_COLUMNS,
    reason_columns,
    reasons,
    unmapped_wordings,
)


@click.command("reasons")
@click.option(
    "--by",
    type=click.Choice(REASONS_BY),
    multiple=True,
    help="Split the reasons by the lead's first channel, source, medium or campaign, by its owner "
    "or grade, or by the rules that had points when it was handed over; may be given repeatedly.",
)
@click.option(
    "--unmapped",
    is_flag=True,
    help="The CRM's wordings that map to no reason: add them to reason_wordings of the model.",
)
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    by: tuple[str, ...],
    unmapped: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show why leads were turned down, and how often.

    A missing reason is (none); a wording that the model does not know is (unmapped). Procedural
    reasons say nothing of the lead: the quality share leaves them out.
    """
    with reader(ctx, data_dir, clickhouse_url) as client:
        rows = unmapped_wordings(client) if unmapped else reasons(client, by)
    columns = WORDING_COLUMNS if unmapped else reason_columns(by)
    print_answer(columns, rows, form, _shown)


def _shown(name: str, value: Any) -> Any:
    return f"{value:.1%}" if name.endswith("share") and value is not None else value
