"""Writes the lists of infra/docs/tables.md from what the database says of itself."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from views import parameters_of, shipped_views

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.described import described
from leadstream.sinks.migrate import migrate

PAGE = Path(__file__).parents[2] / "infra/docs/tables.md"


def with_lists(page: str, client: ClickHouse) -> str:
    """Return the page with both lists as the database has them."""
    for name, lines in (("tables", tables(client)), ("views", views())):
        between = f"<!-- {name}:begin -->\n" + "\n".join(lines) + f"\n<!-- {name}:end -->"
        page = re.sub(
            rf"<!-- {name}:begin -->.*?<!-- {name}:end -->",
            lambda _, text=between: text,
            page,
            flags=re.DOTALL,
        )
    return page


def tables(client: ClickHouse) -> list[str]:
    found = client.query(
        "SELECT name, comment, sorting_key FROM system.tables "
        "WHERE database = {database:String} AND engine != 'View' ORDER BY name",
        {"database": client.database},
    ).rows
    lines = ["| table | holds | key |", "|---|---|---|"]
    return [*lines, *(f"| `{name}` | {comment} | {key} |" for name, comment, key in found)]


def views() -> list[str]:
    lines = ["| view | tells | parameters |", "|---|---|---|"]
    for view, sql in sorted(shipped_views().items()):
        told = described(sql)
        prose = [line for line in told.prose.splitlines() if not line.startswith("  ")]
        assert prose, f"{view}: its script begins with no comment"
        takes = ", ".join(name for name in told.parameters or sorted(parameters_of(sql)))
        lines.append(f"| `{view}` | {' '.join(prose)} | {takes} |")
    return lines


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        ClickHouse(Settings(data_dir=Path(folder))) as client,
    ):
        migrate(client)
        PAGE.write_text(with_lists(PAGE.read_text("utf-8"), client), "utf-8")


if __name__ == "__main__":
    main()
