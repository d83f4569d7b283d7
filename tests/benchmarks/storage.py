"""What the tables cost: bytes a row, rows/s, and how long typical reads take; and what other ways
of storing them would cost.

A synthetic history is folded and inserted as the sink does, with topics and offsets; then merged,
so that sizes are those after a while. Each variant is a copy of its table with something changed,
filled from the table. Reads are asked in turn, several rounds, each told by its median, of the
clock and of this process's CPU, which is steadier; without the engine's cache of conditions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from _lab import HISTORY_DAYS, HISTORY_END, arguments, report

from leadstream.infra.embedded.generator import generate
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.columns import Position
from leadstream.sinks.kept import kind_of
from leadstream.sinks.load import BATCH_ROWS, insert_columns
from leadstream.sinks.migrate import migrate
from leadstream.sinks.rows import TABLES
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

PARTITIONS: Final = 12
DEAREST: Final = 5
COPY: Final = "variant"
AS_SHIPPED: Final = "as shipped"

READS: Final[Mapping[str, tuple[str, str]]] = {
    "timeline": (
        "touchpoints",
        "SELECT * FROM {table} FINAL WHERE lead_id = '{lead}' ORDER BY occurred_at, event_id",
    ),
    "month_by_channel": (
        "touchpoints",
        "SELECT channel, count() FROM {table} FINAL WHERE occurred_at >= toDateTime64('{end}', 3) "
        "- INTERVAL 60 DAY AND occurred_at < toDateTime64('{end}', 3) - INTERVAL 30 DAY "
        "GROUP BY channel",
    ),
    "decisions": ("transitions", "SELECT * FROM {table} FINAL WHERE lead_id = '{lead}'"),
    "week": (
        "transitions",
        "SELECT to_stage, count() FROM {table} FINAL WHERE occurred_at >= toDateTime64('{end}', 3) "
        "- INTERVAL 37 DAY AND occurred_at < toDateTime64('{end}', 3) - INTERVAL 30 DAY "
        "GROUP BY to_stage",
    ),
    "by_stage": (
        "lead_state",
        "SELECT stage, count(), avg(score) FROM {table} FINAL GROUP BY stage",
    ),
    "of_an_owner": (
        "lead_state",
        "SELECT lead_id, stage, score FROM {table} FINAL WHERE owner = '{owner}'",
    ),
    "state": ("lead_state", "SELECT * FROM {table} FINAL WHERE lead_id = '{lead}'"),
}
"""Of which table, and the query."""


@dataclass(frozen=True)
class Variant:
    """Another way of storing a table.

    Attributes:
        columns: what is changed of which column, as behind MODIFY COLUMN.
        granularity: rows a mark of the index.
        more: what is added, as behind ALTER TABLE.
    """

    table: str
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    granularity: int = 8192
    more: Sequence[str] = ()


def every(names: Iterable[str], change: str) -> dict[str, str]:
    return dict.fromkeys(names, change)


TEXTS: Final = ("lead_id", "source_event_id", "url", "referrer", "anonymous_id", "email", "asset")
SCORES: Final = ("score", "fit", "engagement")
NESTED: Final = (
    *(f"`contributions.{name}`" for name in ("rule", "group", "raw", "capped", "points", "hits")),
    *("`contributions.event_ids`", "`recent_touchpoints.event_id`"),
)
ZSTD: Final = "CODEC(ZSTD(1))"
LZ4: Final = "CODEC(LZ4)"
"""The engine's own choice where a column names none."""

VARIANTS: Final = (
    Variant("touchpoints", AS_SHIPPED),
    Variant("touchpoints", "event_id ZSTD", {"event_id": ZSTD}),
    Variant("touchpoints", "event_id uncompressed", {"event_id": "CODEC(NONE)"}),
    Variant("touchpoints", "texts LZ4", every(TEXTS, LZ4)),
    Variant("touchpoints", "texts ZSTD(3)", every(TEXTS, "CODEC(ZSTD(3))")),
    Variant("touchpoints", "texts ZSTD(9)", every(TEXTS, "CODEC(ZSTD(9))")),
    Variant("touchpoints", "properties LZ4", {"properties": LZ4}),
    Variant("touchpoints", "times ZSTD", every(("occurred_at", "event_time"), ZSTD)),
    Variant(
        "touchpoints",
        "times DoubleDelta, ZSTD",
        every(("occurred_at", "event_time"), "CODEC(DoubleDelta, ZSTD(1))"),
    ),
    Variant(
        "touchpoints",
        "times T64, ZSTD",
        every(("occurred_at", "event_time"), "CODEC(T64, ZSTD(1))"),
    ),
    Variant(
        "touchpoints", "offsets T64, ZSTD", every(("offset", "source_offset"), "CODEC(T64, ZSTD)")
    ),
    Variant("touchpoints", "asset LowCardinality", {"asset": "LowCardinality(String)"}),
    Variant("touchpoints", "channel String", {"channel": "String", "campaign": "String"}),
    Variant("touchpoints", "granularity 2048", granularity=2048),
    Variant("touchpoints", "granularity 1024", granularity=1024),
    Variant("transitions", AS_SHIPPED),
    Variant("transitions", "scores Gorilla, ZSTD", every(SCORES, "CODEC(Gorilla, ZSTD(1))")),
    Variant("transitions", "scores LZ4", every(SCORES, LZ4)),
    Variant("transitions", "ids ZSTD", every(("id", "supersedes"), ZSTD)),
    Variant("transitions", "cause_event_id LZ4", {"cause_event_id": LZ4}),
    Variant("transitions", "nested LZ4", every(NESTED, LZ4)),
    Variant("transitions", "nested ZSTD(3)", every(NESTED, "CODEC(ZSTD(3))")),
    Variant("transitions", "granularity 2048", granularity=2048),
    Variant(
        "transitions",
        "minmax index of occurred_at",
        more=("ADD INDEX at occurred_at TYPE minmax GRANULARITY 1",),
    ),
    Variant(
        "transitions",
        "projection by occurred_at",
        more=(
            "MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'",
            "ADD PROJECTION by_time (SELECT lead_id, seq, occurred_at, to_stage, revision, "
            "retracted ORDER BY occurred_at)",
        ),
    ),
    Variant("lead_state", AS_SHIPPED),
    Variant("lead_state", "owner String", {"owner": "String"}),
    Variant("lead_state", "maps LZ4", {"attributes": LZ4, "reached": LZ4, "next_mql": LZ4}),
    Variant(
        "lead_state",
        "times LZ4",
        every(("stage_since", "score_as_of", "first_event_at", "last_event_at"), LZ4),
    ),
    Variant("lead_state", "granularity 2048", granularity=2048),
    Variant(
        "lead_state",
        "set index of owner",
        more=("ADD INDEX of_owner owner TYPE set(100) GRANULARITY 1",),
    ),
    Variant(
        "lead_state",
        "projection by owner",
        more=(
            "MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'",
            "ADD PROJECTION by_owner (SELECT lead_id, stage, score, owner, revision "
            "ORDER BY owner)",
        ),
    ),
)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--leads", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="use or leave the data here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = options.keep or Path(temporary)
        is_made = (path / "made").exists()
        with ClickHouse(Settings(data_dir=path)) as client:
            migrate(client)
            figures: dict[str, Any] = {"rounds": options.rounds}
            if not is_made:
                figures |= filled(client, options.leads)
                (path / "made").touch()
            client.command("SET use_query_condition_cache = 0")
            figures |= sizes(client)
            figures |= reads(
                client, {name: table for name, (table, _) in READS.items()}, options.rounds
            )
            figures["variants"] = list(variants(client, options.rounds))
    report("storage", figures, as_json=options.json)


def filled(client: ClickHouse, leads: int) -> dict[str, Any]:
    """Fill the tables and return rows/s of each."""
    run = Replay(load_models(None))
    events: list[Any] = []
    for event in generate(leads=leads, seed=1, end=HISTORY_END, days=HISTORY_DAYS):
        events += run.feed(event, topic="touchpoints", offset=len(events) // PARTITIONS)[0]
    run.finish()
    by_kind: dict[str, list[Any]] = {}
    for record in (*events, *run.effective.decisions(), *run.states()):
        by_kind.setdefault(kind_of(record), []).append(record)
    figures = {}
    for kind, records in by_kind.items():
        for table, columns_of in TABLES[kind].items():
            began = time.monotonic()
            for start in range(0, len(records), BATCH_ROWS):
                batch = records[start : start + BATCH_ROWS]
                at = [
                    Position(f"lead.{kind}", (start + n) % PARTITIONS, (start + n) // PARTITIONS)
                    for n in range(len(batch))
                ]
                insert_columns(client, table, columns_of(batch, at))
            figures[f"{table}_rows_a_s"] = round(len(records) / (time.monotonic() - began))
            client.command(f"OPTIMIZE TABLE {client.table(table)} FINAL")
    return figures


def sizes(client: ClickHouse) -> dict[str, Any]:
    """Return bytes a row of each table, and its dearest columns."""
    figures: dict[str, Any] = {}
    for table in sorted({table for kind in TABLES.values() for table in kind}):
        if not size_of(client, table)[0]:
            continue
        copied(client, Variant(table, AS_SHIPPED))
        rows, compressed, uncompressed = size_of(client, COPY)
        dearest = list(bytes_by_column(client).items())[:DEAREST]
        figures[f"{table}_rows"] = rows
        figures[f"{table}_bytes_a_row"] = round(compressed / rows, 1)
        figures[f"{table}_uncompressed_bytes_a_row"] = round(uncompressed / rows, 1)
        figures[f"{table}_dearest"] = ", ".join(
            f"{name} {size / rows:.1f}" for name, size in dearest
        )
    return figures


def bytes_by_column(client: ClickHouse) -> dict[str, int]:
    """Return the compressed bytes of each column of the copy, the dearest first."""
    found = client.query(
        "SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns "
        "WHERE database = {database:String} AND table = {table:String} AND active "
        "GROUP BY column ORDER BY bytes DESC",
        {"database": client.database, "table": COPY},
    )
    return dict(found.rows)


def size_of(client: ClickHouse, table: str) -> tuple[int, int, int]:
    """Return rows, compressed and uncompressed bytes."""
    found: tuple[int, int, int] = client.query(
        "SELECT sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes) FROM system.parts "
        "WHERE database = {database:String} AND table = {table:String} AND active",
        {"database": client.database, "table": table},
    ).rows[0]
    return found


def reads(client: ClickHouse, of: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Return how long each read takes, milliseconds; `of` says which table it asks."""
    lead, owner = client.query(
        "SELECT argMax(lead_id, event_count), (SELECT topKIf(1)(owner, owner != '')[1] "
        "FROM lead_state) FROM lead_state WHERE merged_into = ''"
    ).rows[0]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in of}
    for _ in range(rounds):
        for name, table in of.items():
            sql = READS[name][1].format(
                table=client.table(table), lead=lead, owner=owner, end=HISTORY_END.date()
            )
            began, spent = time.monotonic(), time.process_time()
            client.query(sql)
            taken[name].append((time.monotonic() - began, time.process_time() - spent))
    figures = {}
    for name, times in taken.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        figures |= {f"{name}_ms": round(wall, 1), f"{name}_cpu_ms": round(cpu, 1)}
    return figures


def variants(client: ClickHouse, rounds: int) -> Iterator[dict[str, Any]]:
    """Give each variant's bytes a row, the time to fill it, and its reads."""
    for variant in VARIANTS:
        fill_s, fill_cpu_s = copied(client, variant)
        rows, compressed, _ = size_of(client, COPY)
        figures: dict[str, Any] = {
            "table": variant.table,
            "variant": variant.name,
            "bytes_a_row": round(compressed / rows, 2),
            "fill_s": round(fill_s, 2),
            "fill_cpu_s": round(fill_cpu_s, 2),
        }
        by_column = bytes_by_column(client)
        changed = [column.strip("`") for column in variant.columns]
        figures |= {column: round(by_column[column] / rows, 2) for column in changed}
        of = {name: COPY for name, (table, _) in READS.items() if table == variant.table}
        yield figures | reads(client, of, rounds)
    client.command(f"DROP TABLE {client.table(COPY)}")


def copied(client: ClickHouse, variant: Variant) -> tuple[float, float]:
    """Make the copy, and return the seconds, and those of CPU, that filling and merging it took."""
    copy, source = client.table(COPY), client.table(variant.table)
    client.command(f"DROP TABLE IF EXISTS {copy} SYNC")
    sql = client.query(
        "SELECT create_table_query FROM system.tables WHERE database = {database:String} "
        "AND name = {table:String}",
        {"database": client.database, "table": variant.table},
    ).rows[0][0]
    head, body = sql.split("(", 1)
    assert head.startswith("CREATE TABLE")
    # Wide parts, however few rows: in a compact one columns have no sizes of their own.
    body = body.replace(
        "index_granularity = 8192",
        f"index_granularity = {variant.granularity}, min_bytes_for_wide_part = 0",
    )
    client.command(f"CREATE TABLE {copy} ({body}")
    changes = [f"MODIFY COLUMN {name} {to}" for name, to in variant.columns.items()]
    for change in [", ".join(changes)] * bool(changes) + list(variant.more):
        client.command(f"ALTER TABLE {copy} {change}")
    began, spent = time.monotonic(), time.process_time()
    client.command(f"INSERT INTO {copy} SELECT * FROM {source}")
    client.command(f"OPTIMIZE TABLE {copy} FINAL")
    return time.monotonic() - began, time.process_time() - spent


if __name__ == "__main__":
    main()
