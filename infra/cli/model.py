"""`leadstream model`: the scoring model that both teams sign."""

from __future__ import annotations

from pathlib import Path

import click

from leadstream.infra.cli import UserError
from leadstream.infra.cli._model_backtest import backtest
from leadstream.infra.cli._model_diff import diff
from leadstream.infra.cli._model_shadow import shadow
from leadstream.infra.cli._model_train import train
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.models import default_model_path, load_models


@click.group(name="model", short_help="Check the scoring model, and compare versions of it.")
def command() -> None:
    """Work with the scoring model that marketing and sales both sign."""


@command.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def check(path: Path | None) -> None:
    """Check a model file, or a directory of versions; without PATH, the shipped model.

    Every fault is named with file, line, rule and the mend; the exit code is 1 if there is one.
    """
    try:
        models = load_models(path)
    except ModelError as error:
        raise UserError(str(error)) from None
    click.echo(f"{path or default_model_path()} is sound")
    for model in models.versions:
        click.echo(_summary(model))


def _summary(model: CompiledModel) -> str:
    source = model.source
    return (
        f"  version {model.version}, active from {source.active_from.isoformat()}: "
        f"{len(source.fit.rules)} fit rules, {len(source.engagement.rules)} engagement rules in "
        f"{len(source.engagement.groups)} groups, {len(source.criteria.mql)} MQL criteria, "
        f"{len(source.sla.policies)} SLA policies, {len(source.reasons)} reasons"
        f"{'' if source.predictive is None else ', a predicted score of ' + source.predictive.path}"
    )


command.add_command(diff)
command.add_command(backtest)
command.add_command(shadow)
command.add_command(train)
