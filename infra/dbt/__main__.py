"""Write models/sources.yml; a test holds that it is what a migrated database says of itself."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from leadstream.infra.dbt.sources import sources_text
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate

FILE: Final = Path(__file__).parent / "models" / "sources.yml"


def main() -> None:
    """Migrate an empty database, and write down what there is in it."""
    with (
        TemporaryDirectory() as directory,
        ClickHouse(Settings(data_dir=Path(directory))) as client,
    ):
        migrate(client)
        FILE.write_text(sources_text(client), "utf-8")
    sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
