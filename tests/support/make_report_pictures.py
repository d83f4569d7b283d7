"""Makes the pictures of the report in infra/docs/report, from a history that is always the same.

python tests/support/make_report_pictures.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chromium import Browser, chromium
from click.testing import CliRunner
from report_history import store

from leadstream.infra.cli import cli

TARGET: Final = Path(__file__).parents[2] / "infra/docs/report"
LEADS: Final = 2000
_MARGIN: Final = 24


@dataclass(frozen=True)
class Picture:
    """A part of the page: from an element on, as wide as the screen."""

    name: str
    start: str
    width: int
    height: int
    scale: float
    dark: bool = False


PICTURES: Final = (
    Picture("top", "body", 1280, 1180, 1.25),
    Picture("actions", "#actions", 1280, 900, 1.25),
    Picture("attribution", "#attribution", 1280, 760, 1.25),
    Picture("deadlines-dark", "#deadlines", 1280, 1180, 1.25, dark=True),
    Picture("phone", "body", 390, 844, 2),
)


def main() -> None:
    """Write every picture, and say how large it is."""
    TARGET.mkdir(exist_ok=True)
    with TemporaryDirectory() as work, chromium() as browser:
        page = Path(work) / "report.html"
        store(Path(work), leads=LEADS)
        CliRunner().invoke(
            cli, ["report", "-o", str(page), "--data-dir", work], catch_exceptions=False
        )
        for picture in PICTURES:
            file = TARGET / f"{picture.name}.png"
            file.write_bytes(_taken(browser, page, picture))
            sys.stdout.write(f"{file}: {file.stat().st_size / 1000:,.0f} kB\n")


def _taken(browser: Browser, page: Path, picture: Picture) -> bytes:
    browser.open(page, picture.width, picture.height, dark=picture.dark, scale=picture.scale)
    top = browser.run(
        "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY",
        picture.start,
    )
    return browser.picture(0, max(0, top - _MARGIN), picture.width, picture.height)


if __name__ == "__main__":
    main()
