"""`leadstream --help` tells every command without importing it, and tells the truth."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from leadstream.infra.cli import COMMANDS, cli

CLI = Path(__file__).parents[2] / "infra/cli"


def test_the_listed_commands_are_the_modules() -> None:
    modules = {path.stem for path in CLI.glob("*.py") if not path.stem.startswith("_")}
    assert set(COMMANDS) == modules


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    command: click.Command = import_module(f"leadstream.infra.cli.{name}").command
    assert command.get_short_help_str(limit=200) == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_itself_and_each_of_its_parameters(name: str) -> None:
    def check(command: click.Command, path: str) -> None:
        assert command.help, path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.is_eager, f"{path} {option.opts[0]}"
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                check(sub, f"{path} {inner}")

    check(import_module(f"leadstream.infra.cli.{name}").command, name)


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    program = (
        "import sys; from leadstream.infra.cli import cli; cli(['--help'], standalone_mode=False);"
        "print(sorted(m for m in sys.modules if m.startswith('leadstream.infra.cli.')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "[]"
    for name, told in COMMANDS.items():
        assert name in shown
        assert told.split()[0] in shown


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("ingst", 'no command "ingst"; did you mean "ingest"?'),
        ("xyzzy", 'no command "xyzzy"; see leadstream --help'),
    ],
)
def test_a_mistyped_command_gets_the_nearest(typed: str, told: str) -> None:
    result = CliRunner().invoke(cli, [typed])
    assert result.exit_code == 2
    assert told in result.output
