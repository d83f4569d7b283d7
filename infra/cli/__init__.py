"""The command `leadstream`: one module a command, loaded when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from leadstream.schemas.settings import SettingsError

COMMANDS = {
    "demo": "demo",
    "up": "up",
    "worker": "worker",
    "sink": "sink",
    "topics": "topics",
    "schemas": "schemas",
    "migrate": "migrate",
    "ingest": "ingest",
    "replay": "replay",
    "query": "query",
    "funnel": "funnel",
    "lead": "lead",
    "model": "model",
    "settings": "settings",
}


class UserError(click.ClickException):
    """A fault that the user can mend; printed as one message, exit code 1."""

    def format_message(self) -> str:
        return self.message


class LazyGroup(click.Group):
    """Imports a command's module only when it is asked for, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(f"leadstream.infra.cli.{module}").command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadstream")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file with settings; LEADSTREAM_* variables win over it.",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Keep the truth about every lead while it is still warm."""
    ctx.obj = config


def main() -> None:
    """Run the command line; every foreseen fault ends in one message and a non-zero exit."""
    try:
        cli()
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def settings_of(ctx: click.Context, **overrides: Any) -> Any:
    """Return the settings for a command: its options, then the environment, then the file."""
    from leadstream.schemas.settings import load_settings

    return load_settings(ctx.find_root().obj, **overrides)
