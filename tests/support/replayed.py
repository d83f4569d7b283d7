"""A database of a synthetic history: what the whole pipeline would have stored, without it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from leadstream.infra.embedded.generator import generate
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import insert_columns, load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

END = datetime(2026, 6, 30, tzinfo=UTC)
DAYS = 150


def replayed_database(data_dir: Path, leads: int = 500, seed: int = 11) -> Settings:
    """Fill a data directory, a dead letter and the costs of a month among it."""
    settings = Settings(data_dir=data_dir)
    run = Replay(load_models(None))
    events = [
        event
        for told in generate(leads=leads, seed=seed, end=END, days=DAYS)
        for event in run.feed(told)[0]
    ]
    run.finish()
    end_ms = int(END.timestamp() * 1000)
    with ClickHouse(settings) as client:
        migrate(client)
        load(client, [*events, *run.effective.decisions(), *run.states()])
        insert_columns(
            client,
            "dead_letters",
            {
                "source_topic": ["touchpoints"], "source_partition": [0], "source_offset": [7],
                "kind": ["not_avro"], "error": ["no schema"], "failed_at": [end_ms],
                "key": [b"k"], "value": [b"v"], "topic": ["touchpoints.dlq"], "partition": [0],
                "offset": [0], "changed_at": [end_ms],
            },
        )  # fmt: skip
        insert_columns(
            client,
            "channel_costs",
            {
                "day": [date(2026, 6, 1)], "channel": ["google"], "source": [""],
                "medium": [""], "campaign": [""], "amount": [Decimal("1000.00")],
                "currency": ["EUR"], "loaded_at": [end_ms],
            },
        )  # fmt: skip
    return settings
