"""Rows as bytes of ClickHouse's Native format, made in a process that has no connection."""

from __future__ import annotations

from collections.abc import Mapping

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.columns import Columns
from leadstream.sinks.rows import COLUMNS

Types = dict[str, dict[str, str]]
"""Per table, the ClickHouse type of each column."""


def read_types(client: ClickHouse) -> Types:
    """Return the types of every column of the database."""
    found = client.query(
        "SELECT table, name, type FROM system.columns WHERE database = {database:String}",
        {"database": client.database},
    )
    types: Types = {}
    for table, name, column_type in found.rows:
        types.setdefault(table, {})[name] = column_type
    return types


class NativeRows:
    """Encodes columns in the order of `COLUMNS`; blocks of a table may follow each other in a file.

    Args:
        types: as `read_types` gives them.
    """

    def __init__(self, types: Mapping[str, Mapping[str, str]]) -> None:
        self._types = {
            table: [get_from_name(types[table][column]) for column in columns]
            for table, columns in COLUMNS.items()
        }

    def encode(self, table: str, columns: Columns) -> bytes:
        """Return a block of one table's rows.

        Raises:
            Exception: a value does not fit its column, as the driver's own insert says it.
        """
        names = COLUMNS[table]
        values = [columns[name] for name in names]
        context = InsertContext(table, names, self._types[table], values, column_oriented=True)
        context.current_block = 1  # the statement that the driver puts before block 0 is not ours
        body = b"".join(NativeTransform.build_insert(context))
        if context.insert_exception is not None:
            raise context.insert_exception
        return body
