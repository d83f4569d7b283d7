"""Where the sink resumes: kept in ClickHouse, written after the rows, never the group's offsets.

One batch feeds several tables, so no table's own highest offset can tell that all are complete.
"""

from __future__ import annotations

from collections.abc import Mapping

from leadstream.sinks.clickhouse import ClickHouse

Partition = tuple[str, int]
"""Full topic name and partition number."""


def read_positions(client: ClickHouse) -> dict[Partition, int]:
    """Return, per partition, the offset of the first record that is not yet in the tables."""
    found = client.query(
        f"SELECT topic, partition, max(next_offset) FROM {client.table('sink_positions')} "  # noqa: S608
        "GROUP BY topic, partition"
    )
    return {(topic, partition): offset for topic, partition, offset in found.rows}


def write_positions(client: ClickHouse, positions: Mapping[Partition, int]) -> None:
    """Record that everything before `positions` is in the tables."""
    topics, partitions = zip(*positions, strict=True)
    client.insert(
        "sink_positions",
        ("topic", "partition", "next_offset"),
        [topics, partitions, list(positions.values())],
    )


def forget_positions(client: ClickHouse) -> None:
    """Let the sink read every topic again; the tables deduplicate."""
    client.command(f"TRUNCATE TABLE {client.table('sink_positions')}")
