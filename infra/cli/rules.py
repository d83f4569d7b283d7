"""`leadstream rules`: what the model's rules are worth, by what sales answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import UserError
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.infra.cli._period import period_options
from leadstream.sinks.feedback.rules import (
    RULE_COLUMNS,
    WEIGHT_COLUMNS,
    model_versions,
    rules,
    rules_and_weights,
)
from leadstream.sinks.feedback.weights import BY, PRESENCE

_SHARES = ("acceptance", "acceptance_low", "acceptance_high", "without", "to_sql", "to_won")


@click.command("rules")
@click.option(
    "--model-version", "version", help="Of the model; by default the one that decided last."
)
@click.option(
    "--weights",
    "shows_weights",
    is_flag=True,
    help="Instead: the points that each rule deserves, the other rules held equal.",
)
@click.option(
    "--weigh",
    type=click.Choice(BY),
    default=PRESENCE,
    show_default=True,
    help="With --weights: whether a rule had points, or how many.",
)
@period_options("hand-overs")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    version: str | None,
    shows_weights: bool,
    weigh: str,
    since: datetime | None,
    until: datetime | None,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show how often sales accepts what each rule of the model helped to hand over.

    Acceptance is of the hand-overs that were accepted or turned down; open ones and procedural
    reasons stand apart. The lift is that by the acceptance without the rule, with its 95 %
    interval. Of twenty rules that change nothing, one looks as if it did.

    With --weights, a logistic regression holds the other rules and the criterion equal, and deals
    the model's points out anew by the weights: a rule is overpaid where it deserves fewer.
    """
    if weigh != PRESENCE and not shows_weights:
        raise click.UsageError("--weigh says how --weights are found: give both")
    why = None
    with reader(ctx, data_dir, clickhouse_url) as client:
        others = model_versions(client)
        chosen = version or next(iter(others), "")
        if chosen not in others and others:
            raise UserError(
                f'the model\'s version "{chosen}" has handed nothing over; those that have are '
                f"{', '.join(others)}"
            )
        if shows_weights:
            rows, why = rules_and_weights(client, chosen, since, until, weigh)
        else:
            rows = rules(client, chosen, since, until)
    _tell_of_versions(chosen, others)
    columns = WEIGHT_COLUMNS if shows_weights and why is None else RULE_COLUMNS
    print_answer(columns, rows, form, _shown)
    if why is not None:
        click.echo(why, err=True)


def _tell_of_versions(chosen: str, versions: Mapping[str, int]) -> None:
    others = [f"{name} ({count:,})" for name, count in versions.items() if name != chosen]
    if others:
        click.echo(
            f"rules of model {chosen} ({versions[chosen]:,} hand-overs); others by "
            f"--model-version: {', '.join(others)}",
            err=True,
        )


def _shown(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.1%}" if name in _SHARES else f"{value:.2f}"
