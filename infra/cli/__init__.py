"""The command `leadstream`: one module a command, loaded when it is called."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from leadstream.schemas.settings import SettingsError

COMMANDS = {
    "demo": "Run leads through the whole pipeline here, and show their funnel.",
    "up": "Run broker, workers and sink until Ctrl-C or SIGTERM.",
    "serve": "Answer notebooks, dashboards and BI tools from the embedded database.",
    "worker": "Run the stream processors until SIGTERM or Ctrl-C.",
    "sink": "Migrate, then insert everything until SIGTERM or Ctrl-C; "
    "start more to share the work.",
    "connect": "Read change feeds from Kafka topics, Salesforce's or Debezium's, "
    "until SIGTERM or Ctrl-C.",
    "collect": "Take events over HTTP: Segment's tracking protocol, HubSpot's and other webhooks.",
    "topics": "Create the topics on Kafka and keep their settings.",
    "schemas": "Check the Avro contracts and register them.",
    "migrate": "Create or upgrade the database, its tables and views; "
    "a second run changes nothing.",
    "ingest": "Send a CSV, JSONL or Avro export to the input topics.",
    "replay": "Fold a log offline and print the transitions.",
    "query": "Run one read-only SQL statement; - reads it from standard input.",
    "funnel": "Show how many leads reached each stage or any later one.",
    "attribution": "Show which touches conversions are due to, by count and by revenue.",
    "costs": "Load what marketing spent from a CSV file.",
    "cohorts": "Show what has become of the leads that became known in each week or month.",
    "sla": "Show how many deadlines were met, met late or breached, and how long answers took.",
    "reasons": "Show why leads were turned down, and how often.",
    "rules": "Show how often sales accepts what each rule of the model helped to hand over.",
    "reps": "Show how each rep answers, follows up and turns down what was handed over to them.",
    "report": "Write the weekly report: what changed, what to do about it, "
    "and every answer with charts.",
    "leaks": "Show the leaks that are open: whose they are, for how long, and what is at stake.",
    "lead": "Show a lead's state, its timeline, and why each transition happened.",
    "dlq": "Show the records that could not be processed, and send them again after the mend.",
    "model": "Check the scoring model, and compare versions of it.",
    "forget": "Erase a person from the streams, the states, ClickHouse and dead letters.",
    "settings": "Show every setting, its value, where that comes from, and what it does.",
}


class UserError(click.ClickException):
    """A fault that the user can mend; printed as one message, exit code 1."""

    def format_message(self) -> str:
        return self.message


class LazyGroup(click.Group):
    """Imports a command's module only when it is asked for, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else "; see leadstream --help"
            ctx.fail(f'no command "{name}"{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


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
