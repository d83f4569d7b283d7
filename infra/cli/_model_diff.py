"""`leadstream model diff`: what differs between two models, in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from leadstream.infra.cli._format import print_json
from leadstream.infra.cli._model_files import PATH_HELP, one_version
from leadstream.streams.model_diff import diff_models

TEXT_OR_JSON = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the answer.",
)


@click.command(epilog=PATH_HELP)
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@TEXT_OR_JSON
def diff(before: Path, after: Path, form: str) -> None:
    """Tell what differs from model A to model B, a line each.

    The exit code is 0 whether they differ or not.
    """
    found = diff_models(one_version(before).source, one_version(after).source)
    if form == "json":
        print_json([dataclasses.asdict(difference) for difference in found])
        return
    for difference in found:
        click.echo(difference.text)
    if not found:
        click.echo("the models do not differ")
