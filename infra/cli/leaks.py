"""`leadstream leaks`: the leads that leak between marketing and sales now."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.sinks.handoffs import (
    LEAK_COLUMNS,
    WORTH_COLUMNS,
    leak_counts,
    leak_worth,
    open_leaks,
)
from leadstream.sinks.losses import LOSS_COLUMNS, WITHIN_DAYS, losses

ROWS_SHOWN: Final = 50
_COUNT_COLUMNS: Final = ("leak", "open", "resolved", "median_hours_to_resolve")
_SHARES: Final = frozenset({"win_chance", "won_rate", "won_rate_of_others"})


@click.command("leaks")
@click.option("--leak", help="Only this kind, for example mql_without_owner.")
@click.option("--owner", help="Only the leads of this owner.")
@click.option("--summary", is_flag=True, help="Count each kind instead of listing the leads.")
@click.option(
    "--worth", "shows_worth", is_flag=True, help="Instead: what each kind puts at stake now."
)
@click.option(
    "--lost",
    "shows_losses",
    is_flag=True,
    help="Instead: how many wins, and how much money, each kind has lost.",
)
@click.option(
    "--within-days",
    type=click.IntRange(1),
    default=WITHIN_DAYS,
    show_default=True,
    help="--lost: compare the wins within so many days, of leads that were watched for as long.",
)
@click.option("--currency", help="Of the mean won amount; by default the one of most wins.")
@click.option("--all", "everything", is_flag=True, help=f"More than {ROWS_SHOWN} leads.")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    leak: str | None,
    owner: str | None,
    summary: bool,
    shows_worth: bool,
    shows_losses: bool,
    within_days: int,
    currency: str | None,
    everything: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show the leaks that are open: whose they are, for how long, and what is at stake.

    The dearest come first, then the oldest. Ages count up to the latest instant in the data. The
    expected amount is what the lead is likely to bring: the chance of a win of leads of its stage,
    grade and age, times its amount, or the mean won amount where none is known.

    --lost compares the leads that leaked with others of the same stage and grade: it says what goes
    along with a leak, which need not be what the leak did.
    """
    if summary + shows_worth + shows_losses > 1:
        raise click.UsageError("one of --summary, --worth and --lost, not several")
    if (leak or owner) and (summary or shows_worth or shows_losses):
        raise click.UsageError("--leak and --owner choose from the list of leads")
    limit = 0 if everything or form != "table" else ROWS_SHOWN + 1
    columns: tuple[str, ...]
    with reader(ctx, data_dir, clickhouse_url) as client:
        if summary:
            columns, rows = _COUNT_COLUMNS, leak_counts(client)
        elif shows_worth:
            columns, rows = WORTH_COLUMNS, leak_worth(client, currency)
        elif shows_losses:
            columns, rows = LOSS_COLUMNS, losses(client, within_days, currency)
        else:
            columns, rows = LEAK_COLUMNS, open_leaks(client, leak, owner, limit, currency)
            if form == "table":  # too wide for the rest, of which the age tells the most
                columns = tuple(name for name in columns if name not in ("opened_at", "cycle"))
    shown = rows[:ROWS_SHOWN] if limit and not (summary or shows_worth or shows_losses) else rows
    print_answer(columns, shown, form, _shown)
    if len(shown) < len(rows):
        click.echo(f"More than {ROWS_SHOWN} leaks are open: --all lists every one.")


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, float):
        return f"{value:.2%}" if name in _SHARES else f"{value:,.1f}"
    return value
