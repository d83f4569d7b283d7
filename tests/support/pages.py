"""What a documentation page tells its readers to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[2] / "infra/docs"


def commands_of(page: str) -> list[list[str]]:
    """Return the arguments of each `leadstream` command of a page."""
    return [
        shlex.split(line, comments=True)[1:]
        for block in blocks_of(page, "sh")
        for line in block.splitlines()
        if line.startswith("leadstream")
    ]


def blocks_of(page: str, language: str) -> list[str]:
    """Return the texts between the fences of a language."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)
