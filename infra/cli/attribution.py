"""`leadstream attribution`: which channels, campaigns or content conversions are due to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from leadstream.infra.cli import UserError
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.infra.cli._period import period_options
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.chains import TooManyStatesError
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import (
    CONVERSIONS,
    DIMENSIONS,
    HALF_LIFE_DAYS,
    LOOKBACK_DAYS,
    MODELS,
    ORDERS,
    Question,
    currency_of,
)
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.streams.domain.durations import parse_duration_s

ALL_MODELS: Final = "all"
_DAY_S: Final = 86_400
_CENT: Final = Decimal("0.01")


class Days(click.ParamType):
    """A duration in days, as 90d or 2w."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return value
        try:
            days = parse_duration_s(value) / _DAY_S
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if days <= 0:
            self.fail(f'"{value}" is no time at all', param, ctx)
        return days


class WholeDays(Days):
    """A duration of whole days."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        days = super().convert(value, param, ctx)
        if days != int(days):
            self.fail(f'"{value}" is no whole number of days', param, ctx)
        return int(days)


@click.command("attribution")
@click.option(
    "--model",
    type=click.Choice([*MODELS, ALL_MODELS]),
    default="linear",
    show_default=True,
    help="How credit is given; all shows the models side by side.",
)
@click.option(
    "--conversion",
    type=click.Choice(CONVERSIONS),
    default="won",
    show_default=True,
    help="What credit is given for; each is counted once a cycle of a lead.",
)
@click.option(
    "--by",
    type=click.Choice(DIMENSIONS),
    default="channel",
    show_default=True,
    help="What of a touch gets the credit.",
)
@click.option(
    "--lookback",
    "lookback_days",
    type=WholeDays(),
    default=LOOKBACK_DAYS,
    show_default="90d",
    help="Touches count that are not older than this at the conversion.",
)
@click.option(
    "--half-life",
    "half_life_days",
    type=Days(),
    default=HALF_LIFE_DAYS,
    show_default="7d",
    help="time_decay: the time in which the weight of a touch halves.",
)
@click.option(
    "--order",
    type=click.Choice([str(order) for order in ORDERS]),
    default="1",
    show_default=True,
    help="markov: how many touches a state remembers.",
)
@period_options("conversions")
@click.option("--currency", help="Of the revenue; by default the one of most wins.")
@click.option("--revenue", is_flag=True, help="With --model all: compare revenue, not conversions.")
@click.option("--paths", is_flag=True, help="The most frequent paths to the conversion instead.")
@click.option(
    "--assists", "shows_assists", is_flag=True, help="Who opens, assists and closes instead."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Paths shown.")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    conversion: str,
    by: str,
    lookback_days: int,
    half_life_days: float,
    order: str,
    since: datetime | None,
    until: datetime | None,
    currency: str | None,
    revenue: bool,
    paths: bool,
    shows_assists: bool,
    limit: int,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show which touches conversions are due to, by count and by revenue.

    first, last, last_non_direct, linear, time_decay, u_shaped, w_shaped and full_path weigh the
    touches of each conversion; markov asks what would be lost without a channel, shapley shares
    evenly between the channels of a path. The credits of a model sum to the conversions and to the
    revenue exactly. A conversion without touches counts for (none).
    """
    if paths and shows_assists:
        raise click.UsageError("--paths or --assists, not both")
    question = Question(
        conversion, by, lookback_days, half_life_days, int(order), since, until, currency
    )
    with reader(ctx, data_dir, clickhouse_url) as client:
        currency, others = currency_of(client, question)
        question = replace(question, currency=currency)
        try:
            rows = _asked(client, question, model, revenue, paths, shows_assists, limit)
        except TooManyStatesError as error:
            raise UserError(str(error)) from None
    _tell_of_other_currencies(currency, others)
    print_answer(list(rows[0]) if rows else [by], rows, form, _shown)


def _asked(
    client: ClickHouse,
    question: Question,
    model: str,
    revenue: bool,
    paths: bool,
    shows_assists: bool,
    limit: int,
) -> Sequence[Mapping[str, Any]]:
    if paths:
        return top_paths(client, question, limit)
    if shows_assists:
        return assists(client, question)
    if model == ALL_MODELS:
        return compare(client, question, "revenue" if revenue else "conversions")
    return attribution(client, question, model)


def _tell_of_other_currencies(currency: str, others: Mapping[str, int]) -> None:
    if others:
        told = [f"{count} in {name or 'no currency'}" for name, count in others.items()]
        click.echo(
            f"revenue is of the wins in {currency or 'no currency'}; {', '.join(told)} count "
            f"without theirs: ask again with --currency {next(iter(others)) or currency}",
            err=True,
        )


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.quantize(_CENT):,}"
    if isinstance(value, float):
        return f"{value:.1%}" if name.endswith("share") else f"{value:.1f}"
    return value
