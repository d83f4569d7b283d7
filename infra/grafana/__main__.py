"""Write every dashboard as JSON; a test holds that the files are what the descriptions say."""

from __future__ import annotations

import sys

from leadstream.infra.grafana.boards import BOARDS
from leadstream.infra.grafana.panels import DIRECTORY, text_of


def main() -> None:
    """Write the files, and say which."""
    for board in BOARDS:
        file = DIRECTORY / f"{board['uid']}.json"
        file.write_text(text_of(board), "utf-8")
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
