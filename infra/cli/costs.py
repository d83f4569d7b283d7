"""`leadstream costs`: loads what marketing spent, so that attribution can set it against wins."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.sinks.attribution.costs import COST_DIMENSIONS, Cost, load_costs
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import MigrationError, migrate

NEEDED: Final = ("day", "amount", "currency")
COLUMNS: Final = (*NEEDED, *COST_DIMENSIONS)
_Name = Annotated[str, Field(max_length=1024)]


class CostRow(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    day: date
    amount: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=2)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    channel: _Name = ""
    source: _Name = ""
    medium: _Name = ""
    campaign: _Name = ""


@click.command("costs")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context, file: Path, data_dir: Path | None, clickhouse_url: str | None
) -> None:
    """Load what marketing spent from a CSV file.

    Its first line names the columns: day (2026-03-01), amount, currency (EUR), and those that say
    on what, of channel, source, medium and campaign, as the touchpoints name them. Lines of one
    day, key and currency are summed. Loading a day and key again replaces what was there.
    """
    costs = list(read_costs(file))
    settings = settings_of(ctx, data_dir=data_dir, clickhouse_url=clickhouse_url)
    try:
        with ClickHouse(settings, writer=True, create=False) as client:
            migrate(client)
            rows = load_costs(client, costs)
    except (ClickHouseError, MigrationError) as error:
        raise UserError(str(error)) from None
    spent = {cost.currency: Decimal() for cost in costs}
    for cost in costs:
        spent[cost.currency] += cost.amount
    told = ", ".join(f"{amount:,} {currency}" for currency, amount in sorted(spent.items()))
    click.echo(f"{len(costs):,} lines became {rows:,} costs: {told or 'nothing'}")


def read_costs(file: Path) -> Iterator[Cost]:
    """Read a file of costs.

    Raises:
        UserError: names the file and the line, and what is wrong there.
    """
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            _check_header(file, reader.fieldnames or ())
            for row in reader:
                yield _cost(file, reader.line_num, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{file} line {reader.line_num + 1}: {error}") from None


def _check_header(file: Path, names: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown:
        faults = [f"lacks {', '.join(missing)}"] if missing else []
        faults += [f"does not know {', '.join(unknown)}"] if unknown else []
        raise UserError(
            f"{file} line 1: the header {' and '.join(faults)}; "
            f"columns are {', '.join(NEEDED)}, and of {', '.join(COST_DIMENSIONS)} what is known"
        )


def _cost(file: Path, line: int, row: dict[str | None, str | None]) -> Cost:
    if None in row or None in row.values():
        raise UserError(f"{file} line {line}: has not as many fields as the header")
    try:
        found = CostRow.model_validate(row)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"{file} line {line}: {faults}") from None
    return Cost(**found.model_dump())
