"""`leadstream settings`: every setting, found without reading the source."""

from __future__ import annotations

import dataclasses
import json

import click

from leadstream.schemas.settings import CONFIG_ENV, Settings, settings_in_use, variable_of


@click.command(short_help="Show every setting, its value, where that comes from, and what it does.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="markdown prints the reference of all settings, without values in use.",
)
@click.pass_context
def command(ctx: click.Context, layout: str) -> None:
    """Show every setting, its value, where that comes from, and what it does.

    Options of a command win over LEADSTREAM_* variables, and those over the --config file.
    Secrets are masked.
    """
    if layout == "markdown":
        click.echo(reference(), nl=False)
        return
    settings = settings_in_use(ctx.find_root().obj)
    if layout == "json":
        click.echo(json.dumps([dataclasses.asdict(row) for row in settings], indent=2))
        return
    for row in settings:
        click.echo(f"{row.name} = {row.value or '(not set)'}  [{row.source}]")
        click.echo(f"    {row.description} ({row.variable})")


def reference() -> str:
    """Return the documentation of all settings as Markdown, the same on every machine."""
    lines = [
        "# Settings",
        "",
        "Made by `leadstream settings --format markdown` from `schemas/settings.py`.",
        "",
        "A setting is given as an option of a command, as a variable of the environment, or as",
        f"`name: value` in a YAML file named by `--config` or `{CONFIG_ENV}`; the earlier of",
        "these wins. `leadstream settings` shows what is in use and where it comes from. Secrets",
        "are never shown.",
        "",
        "| name | variable | default | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `{name}` | `{variable_of(name)}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
