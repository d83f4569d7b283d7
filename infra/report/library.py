"""What draws the charts, as one script: Vega, Vega-Lite and Vega-Embed, put together offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_PROGRAM: Final = (
    "import sys, vl_convert; sys.stdout.buffer.write("
    "vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;').encode())"
)


class LibraryError(Exception):
    """It could not be put together; the message says what was said."""


@contextmanager
def bundled() -> Iterator[Callable[[], str]]:
    """Put the script together in a process beside this one; gives what waits for it.

    That takes seconds of one core, in which it would let no other thread of its process run.

    Raises:
        LibraryError: on waiting.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield lambda: _told(child)
    finally:
        child.kill()
        child.communicate()


def _told(child: subprocess.Popen[bytes]) -> str:
    script, fault = child.communicate()
    if child.returncode:
        said = fault.decode("utf-8", "replace").strip().splitlines()
        raise LibraryError(said[-1] if said else f"exit code {child.returncode}")
    return script.decode()
