"""What Olist's sales reps did with real leads, against a count over its two files."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import olist
import pytest

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.feedback.rules import rules_and_weights
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

pytestmark = [pytest.mark.olist, olist.needs_olist]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("olist")
    run = Replay(load_models(None))
    sources = ((olist.MQLS, olist.MQLS_MAPPING), (olist.DEALS, olist.DEALS_MAPPING))
    accepted = [
        event
        for file, mapping in sources
        for given in read_events(file, load_mapping(mapping))
        for event in run.feed(given)[0]
    ]
    run.finish()
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(client, chain(accepted, run.effective.decisions(), run.states()))
    return path


def test_every_win_is_its_reps_and_the_rest_is_nobodys(data_dir: Path) -> None:
    asked = {row["mql_id"]: instant(row["first_contact_date"]) for row in olist.rows(olist.MQLS)}
    # A deal that was won before the lead asked for contact was handed over by nobody.
    deals = [d for d in olist.rows(olist.DEALS) if instant(d["won_date"]) >= asked[d["mql_id"]]]
    early = len(olist.rows(olist.DEALS)) - len(deals)
    won = Counter(deal["sr_id"] for deal in deals)
    with ClickHouse(Settings(data_dir=data_dir), read_only=True) as client:
        client.require_database()
        rows = {row["owner"]: row for row in reps(client)}
        took = dict(
            client.query(
                "SELECT owner, quantileExactInclusive(0.5)(date_diff('millisecond', "
                "handed_over_at, won_at)) / 86400000 FROM v_handovers "
                "WHERE owner != '(none)' GROUP BY owner"
            ).rows
        )
    nobody = rows.pop("(none)")
    assert {owner: row["won"] for owner, row in rows.items()} == won
    assert {owner: row["leads"] for owner, row in rows.items()} == won
    assert nobody["leads"] == nobody["open"] == len(asked) - len(deals) - early
    for owner, row in rows.items():
        assert (row["won_rate"], row["won_decided"]) == (1.0, won[owner])
        assert row["expected_won"] == pytest.approx(won[owner])
        assert (row["median_activities"], row["few_share"]) == (0, 1)
        days = sorted(
            (instant(deal["won_date"]) - asked[deal["mql_id"]]).total_seconds() / 86400
            for deal in deals
            if deal["sr_id"] == owner
        )
        middle = (days[(len(days) - 1) // 2] + days[len(days) // 2]) / 2
        assert took[owner] == pytest.approx(middle)


def test_where_only_the_asking_hands_over_there_is_nothing_to_weigh(data_dir: Path) -> None:
    with ClickHouse(Settings(data_dir=data_dir), read_only=True) as client:
        client.require_database()
        rows, missing = rules_and_weights(client, "2026-01")
    assert rows == []
    assert missing is not None
    assert "no rule had points" in missing
