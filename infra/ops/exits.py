"""How the commands that run for long end: one message and an exit code that a supervisor knows."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from leadstream.schemas.exit_codes import exit_code_of
from leadstream.schemas.logs import JsonLines
from leadstream.schemas.settings import SettingsError

log = logging.getLogger(__name__)


@contextmanager
def exit_codes(*foreseen: type[Exception]) -> Iterator[None]:
    """End the process with the code of what is raised within, which is told in one message.

    Args:
        foreseen: what needs no traceback, beside wrong settings.
    """
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        _tell(error, told_enough=isinstance(error, (SettingsError, *foreseen)))
        sys.exit(exit_code_of(error))


def _tell(error: Exception, told_enough: bool) -> None:
    if not told_enough:
        log.critical("%s: %s", type(error).__name__, error, exc_info=error)
    elif any(isinstance(h.formatter, JsonLines) for h in logging.getLogger().handlers):
        log.critical("%s", error)
    else:
        click.echo(f"Error: {error}", err=True)
