"""What the roles of `leadstream migrate` may do, enforced by ClickHouse's own engine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sink_records
from clickhouse_front import ClickHouseFront
from clickhouse_rights import configuration

from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.answers import funnel, lead
from leadstream.sinks.clickhouse import ACCESS_DENIED, ClickHouse, ClickHouseError
from leadstream.sinks.erasure import erase
from leadstream.sinks.handoffs import attainment, leak_counts, open_leaks
from leadstream.sinks.load import load
from leadstream.sinks.migrate import MigrationError, Script, migrate, shipped_scripts
from leadstream.sinks.positions import forget_positions, read_positions, write_positions
from leadstream.sinks.reasons import reasons, unmapped_wordings
from leadstream.sinks.statements import classify
from leadstream.sinks.users import (
    UsersError,
    make_roles,
    make_users,
    role_statements,
    user_statements,
)

LEAD = "lead-1"
MARKED = "marked-passw0rd"


@contextmanager
def server(directory: Path, role: str | None) -> Iterator[Settings]:
    """An engine whose user has the rights of a role, or all."""
    config = configuration(directory, "leads", role) if role else None
    with ClickHouseFront(directory, username="u", password=MARKED, config=config) as front:
        yield load_settings(
            clickhouse_url=front.url, clickhouse_username="u", clickhouse_password=MARKED
        )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with some leads in it."""
    path = tmp_path_factory.mktemp("rights")
    with server(path, None) as settings, ClickHouse(settings) as client:
        migrate(client)
        load(client, sink_records.random_states(20, seed=1))
        assert not make_roles(client), "chDB makes no roles, and nothing comes of asking"
        wanted = settings.model_copy(
            update={"clickhouse_analyst_password": settings.clickhouse_password}
        )
        with pytest.raises(UsersError, match="may not make users"):
            make_users(client, wanted)
    return path


def test_a_writer_inserts_erases_and_resumes_and_changes_no_table(directory: Path) -> None:
    with server(directory, "writer") as settings, ClickHouse(settings, writer=True) as client:
        assert migrate(client) == []
        states = [sink_records.lead_state(LEAD, 1), sink_records.lead_state(LEAD, 2)]
        load(client, [*states, sink_records.touch_event(LEAD, 1)])
        assert lead(client, LEAD)
        write_positions(client, {("lead.state", 0): 7})
        assert read_positions(client) == {("lead.state", 0): 7}
        forget_positions(client)
        erase(client, {LEAD: sink_records.START_MS + 1000 * sink_records.DAY_MS})
        assert lead(client, LEAD) is None
        with pytest.raises(ClickHouseError, match="lacks the right DROP TABLE") as caught:
            client.command("DROP TABLE leads.sla")
        assert caught.value.code == ACCESS_DENIED
        newer = Script(
            len(shipped_scripts()) + 100,
            "new.sql",
            "CREATE TABLE IF NOT EXISTS {database}.n (a Int8) ENGINE = Memory",
        )
        with pytest.raises(MigrationError, match=r"new\.sql failed.*leadstream migrate"):
            migrate(client, [*shipped_scripts(), newer])


READS = [
    "SELECT count() FROM leads.touchpoints FINAL",
    "SELECT * FROM leads.v_funnel",
    "SELECT * FROM leads.v_attribution(model = 'all', conversion = 'won', lookback_days = 90, "
    "half_life_days = 7)",
    "SELECT * FROM leads.v_open_paths(conversion = 'won', by = 'channel', lookback_days = 90)",
    "SELECT source_topic, argMax(status, changed_at), argMax(kind, changed_at), max(failed_at) "
    "FROM leads.dead_letters GROUP BY source_topic, source_partition, source_offset",
    "SELECT name FROM system.tables WHERE database = 'leads'",
    "SELECT * FROM numbers(3)",
    "SHOW TABLES FROM leads",
    "DESCRIBE leads.lead_state",
]
DENIED = [
    "SELECT * FROM leads.dead_letters",
    "SELECT value FROM leads.dead_letters",
    "SELECT error FROM leads.dead_letters",
    "SELECT * FROM leads.v_dead_letters",
    "SELECT * FROM merge('leads', 'dead_letters')",
    "INSERT INTO leads.sla SELECT * FROM leads.sla",
    "CREATE TABLE leads.x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "DROP TABLE leads.sla",
    "ALTER TABLE leads.sla DELETE WHERE 1",
    "DELETE FROM leads.sla WHERE 1",
    "TRUNCATE TABLE leads.sink_positions",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER other",
    "GRANT SELECT ON *.* TO default",
    "SYSTEM FLUSH LOGS",
    "SELECT * FROM system.users",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "DESCRIBE file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1', 'leads', 'sla')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM executable('x', 'CSV', 'a Int8')",
    "BACKUP TABLE leads.sla TO Disk('default', 'x')",
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT 1 SETTINGS max_memory_usage = 4000000001",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS max_result_rows = 0",
]


def test_an_analyst_reads_every_answer_and_nothing_else(directory: Path) -> None:
    with server(directory, "analyst") as settings:
        with ClickHouse(settings, read_only=True, create=False) as client:
            client.require_database()
            assert isinstance(funnel(client, "channel"), list)
            assert isinstance(attainment(client, "policy"), list)
            assert isinstance(reasons(client), list)
            assert isinstance(open_leaks(client), list)
            assert isinstance(leak_counts(client), list)
            assert isinstance(unmapped_wordings(client), list)
            assert lead(client, "nobody") is None
            for sql in READS:
                client.query(classify(client, sql))
        with ClickHouse(settings) as client:  # as curl would: nothing of ours in front
            for sql in DENIED:
                with pytest.raises(ClickHouseError, match=REFUSED):
                    client.command(sql)


REFUSED = re.compile(
    r"lacks the right|in readonly mode|shouldn't be (less|greater)|should not be changed"
)


def test_every_statement_is_sql_to_the_engine_and_names_its_database(directory: Path) -> None:
    users = user_statements("o'brien", MARKED, "my db_analyst")
    with server(directory, None) as settings, ClickHouse(settings) as client:
        for statement in (*role_statements("my db"), *users):
            told = client.query("SELECT formatQuerySingleLine({s:String})", {"s": statement})
            assert told.rows[0][0]
            assert "leads" not in statement
            assert MARKED not in statement


def test_a_password_is_sent_as_its_salted_hash() -> None:
    create, alter, *_ = user_statements("u", MARKED, "r")
    found = re.search(r"sha256_hash BY '(\w+)' SALT '(\w+)'", create)
    assert found
    assert found[1] == hashlib.sha256((MARKED + found[2]).encode()).hexdigest()
    assert found[0] in alter
    again = next(user_statements("u", MARKED, "r"))
    assert found[2] not in again, "each time another salt"
