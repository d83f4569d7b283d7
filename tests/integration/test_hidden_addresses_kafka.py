"""With an email_key a whole pipeline on Apache Kafka writes no address, and still finds the person.

What comes in is written by others, with the address in the clear; all else is searched for it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from pipeline import Pipeline

from leadstream.infra.cli import cli
from leadstream.infra.front.server import Front
from leadstream.schemas import topics
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import CrmEvent
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.rows import COLUMNS
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.ingest.producer import send_events

KEY = "0123456789abcdef" * 2
MARK = "needle"
ADDRESS = f"Ada-{MARK}@firm.example"
OF_BOB = f"bob-{MARK}@firm.example"
AT = 1_772_442_000_000


def send_as_others_do(live: Pipeline) -> None:
    told: list[tuple[str, Any]] = [
        (topics.TOUCHPOINTS, {"type": "form_submitted", "email": ADDRESS, "anonymous_id": "v1"}),
        (topics.TOUCHPOINTS, {"type": "demo_requested", "lead_id": "ada", "url": f"/?{ADDRESS}",
                              "properties": {"email": ADDRESS}}),
        (topics.CRM_EVENTS, {"type": "lead_created", "lead_id": "ada", "reason": f"by {ADDRESS}",
                             "attributes": {"email": ADDRESS}}),
        (topics.TOUCHPOINTS, {"type": "page_viewed", "properties": {"note": ADDRESS}}),
        (topics.CRM_EVENTS, {"type": "lead_created", "lead_id": "bob",
                             "attributes": {"email": OF_BOB}}),
        (topics.CRM_EVENTS, b"\x01" + ADDRESS.encode()),
    ]  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=live.settings.kafka_bootstrap)
    for number, (topic, said) in enumerate(told):
        event = {"event_id": f"e{number}", "event_time": AT + number}
        value = said if isinstance(said, bytes) else json.dumps(event | said).encode()
        producer.send(live.settings.topics.full(topic), value, ADDRESS.encode())
    producer.close()


def bytes_of_topics(live: Pipeline) -> dict[str, bytes]:
    """Return all that is in each topic of the pipeline, by its bare name."""
    prefix = live.settings.topic_prefix
    admin = KafkaAdminClient(bootstrap_servers=live.settings.kafka_bootstrap)
    names = [name for name in admin.list_topics() if name.startswith(prefix)]
    admin.close()
    return {
        name.removeprefix(prefix): b"|".join(
            (record.key or b"") + b"|" + (record.value or b"") + repr(record.headers).encode()
            for record in live.read_raw(name.removeprefix(prefix))
        )
        for name in names
    }


def run(live: Pipeline, *words: str) -> Result:
    return CliRunner().invoke(cli, words, env=live._environment())


def test_no_topic_table_log_or_state_holds_the_address_of_a_person_who_is_found_by_it(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "email_key": KEY, "topic_partitions": 1, "workers": 1, "dead_letter_max_share": 1,
    }  # fmt: skip
    with Pipeline(kafka.bootstrap, topic_prefix, tmp_path, **settings) as live:
        send_as_others_do(live)
        ours = CrmEvent(
            event_id="ours", event_time=AT + 9, lead_id="ada", type="lead_updated",
            attributes={"email": ADDRESS},
        )  # fmt: skip
        asyncio.run(send_events(live.settings, [ours]))
        live.wait_until_through()
        live.sink_until_through()
        found = bytes_of_topics(live)
        assert found[topics.CRM_EVENTS].count(b"hmac:") == 1, "what we send ourselves is hidden"
        written = {n: data for n, data in found.items() if n not in topics.INPUTS}
        assert {topics.LEAD_EVENTS, topics.LEAD_STATE, topics.LIFECYCLE_STORE} <= written.keys()
        assert [name for name, data in written.items() if MARK.encode() in data.lower()] == []
        assert all(written[dlq] for dlq in ("touchpoints.dlq", "crm-events.dlq"))
        with ClickHouse(live.settings) as client:
            client.require_database()
            for table, columns in COLUMNS.items():
                spelled = ", ".join(f"ifNull(toString(`{column}`), '')" for column in columns)
                sql = f"SELECT lower(concat_ws('|', {spelled})) FROM {table}"
                assert not any(MARK in row for (row,) in client.query(sql).rows), table
            assert client.query("SELECT count() FROM dead_letters").rows == [(2,)]
        logs = "".join(path.read_text("utf-8", "replace") for path in tmp_path.glob("*.log"))
        assert MARK not in logs.lower()

        hider = hider_of(live.settings)
        assert hider is not None
        by_mail = lead_of_email(hider.address(ADDRESS))
        of_ada = run(live, "lead", ADDRESS)
        assert "Lead ada" in of_ada.output
        assert by_mail in of_ada.output, "it is the id under which a part was told"
        alone = run(live, "forget", OF_BOB, "--yes", "--wait", "0")
        assert "taken as the id of a lead" in alone.output
        assert MARK not in alone.output.lower()
        with ClickHouse(live.settings), Front(live.settings):
            forgotten = run(live, "forget", OF_BOB, "--yes", "--wait", "0")
            assert forgotten.exit_code == 0, forgotten.output
            assert "the address is of lead bob" in forgotten.output
            assert MARK not in forgotten.output.lower()
