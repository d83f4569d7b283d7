"""Which SQL of a user may run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate
from leadstream.sinks.statements import StatementError, classify


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("statements"))
    with ClickHouse(settings) as writer:
        migrate(writer)
        with ClickHouse(settings, read_only=True, create=False) as reader:
            reader.require_database()
            yield reader


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "/* why */ SELECT 'INTO OUTFILE ''x'' SETTINGS a = 1; DROP TABLE sla' -- ; DROP TABLE sla",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "FROM sla SELECT lead_id",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT 1 EXCEPT SELECT 2",
        "SELECT count() FROM leads.transitions FINAL",
        "SELECT dimension, mql FROM v_funnel",
        "SELECT name FROM system.tables WHERE database = 'leads'",
        "SELECT count() FROM numbers(10)",
        "SELECT format('{}', 1) AS file",
        "SELECT * APPLY(toString) FROM sla",
        "SELECT url, countIf(url = 'file(x)') FROM touchpoints GROUP BY url",
        "SELECT $$a;b$$",
        "SHOW TABLES",
        "SHOW CREATE TABLE sla",
        "DESCRIBE sla",
        "DESCRIBE (SELECT 1)",
        "EXISTS sla",
        "EXPLAIN SELECT 1",
        "EXPLAIN indexes = 1 SELECT * FROM sla",
    ],
)
def test_one_read_only_statement_over_the_database_runs(client: ClickHouse, sql: str) -> None:
    client.query(classify(client, sql))


@pytest.mark.parametrize(
    ("sql", "mend"),
    [
        ("", "no SQL given"),
        ("  -- nothing", "Syntax error|Empty query"),
        ("SELEC 1", "Syntax error"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELECT 1; DROP TABLE sla", "one statement at a time"),
        ("SELECT '\\'; DROP TABLE sla --'; DROP TABLE sla", "one statement at a time"),
        ("SELECT \u2018'\u2019 ; DROP TABLE sla; --'", "one statement at a time"),
        ("DROP TABLE sla", "DROP is not allowed"),
        ("INSERT INTO sla SELECT * FROM sla", "INSERT is not allowed"),
        ("WITH x AS (SELECT 1) INSERT INTO sla SELECT * FROM x", "not allowed|Syntax error"),
        ("ALTER TABLE sla DELETE WHERE 1", "ALTER is not allowed"),
        ("CREATE TABLE x ENGINE = Memory AS SELECT 1", "CREATE is not allowed"),
        ("TRUNCATE TABLE sla", "TRUNCATE is not allowed"),
        ("OPTIMIZE TABLE sla", "OPTIMIZE is not allowed"),
        ("SYSTEM SHUTDOWN", "SYSTEM is not allowed"),
        ("SET readonly = 0", "SET is not allowed"),
        ("USE default", "USE is not allowed"),
        ("BACKUP TABLE sla TO Disk('d', 'x')", "BACKUP is not allowed"),
        ("KILL QUERY WHERE 1", "KILL is not allowed"),
        ("GRANT ALL ON *.* TO x", "GRANT is not allowed"),
        ("SELECT 1 SETTINGS readonly = 0", "SETTINGS are not allowed"),
        ("SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)", "SETTINGS are not allowed"),
        ("SELECT 1 FORMAT CSV", "--format"),
        ("SELECT 1 INTO OUTFILE 'x'", "INTO OUTFILE"),
        ("SELECT 1 INTO /* */ OUTFILE 'x'", "INTO OUTFILE"),
        ("SHOW TABLES INTO OUTFILE 'x'", "INTO OUTFILE"),
        ("SHOW COLUMNS FROM sla INTO OUTFILE 'x'", "INTO OUTFILE"),
        ("SELECT * FROM file('/etc/passwd', LineAsString)", r"file\(\) is not allowed"),
        ("SELECT * FROM `file`('/etc/passwd')", r"file\(\) is not allowed"),
        ("SELECT FILE('/etc/passwd')", r"FILE\(\) is not allowed"),
        ("SELECT 1 WHERE 'x' IN (SELECT * FROM url('http://x'))", r"url\(\) is not allowed"),
        ("SELECT * FROM view(SELECT * FROM file('/etc/passwd'))", r"file\(\) is not allowed"),
        ("WITH file AS (SELECT 1) SELECT * FROM file('x')", r"file\(\) is not allowed"),
        ("SELECT * FROM loop(default.`/etc/passwd`)", r"loop\(\) is not allowed|outside"),
        ("DESCRIBE file('/etc/passwd')", r"file\(\) is not allowed"),
        ("EXPLAIN SELECT * FROM s3('http://x/y')", r"s3\(\) is not allowed"),
        ("EXPLAIN AST INSERT INTO sla VALUES (1)", "EXPLAIN takes a SELECT"),
        ("SELECT * FROM Python(x)", r"Python\(\) is not allowed"),
        ("SELECT * FROM executable('x', CSV, 'a Int8')", r"executable\(\) is not allowed"),
        ("SELECT * FROM remote('h', 'd', 't')", r"remote\(\) is not allowed"),
        ("SELECT * FROM merge('default', '.*')", r"merge\(\) is not allowed"),
        ("SELECT * FROM cluster('c', system.one)", r"cluster\(\) is not allowed"),
        ("SELECT hasColumnInTable('h', 'd', 't', 'c')", "not allowed"),
        ("SELECT * FROM default.`/etc/passwd`", "outside the database"),
        ('SELECT * FROM "default"."/etc/passwd"', "outside the database"),
        ("SELECT 1 IN default.`/etc/passwd`", "outside the database"),
        ("DESCRIBE default.`/etc/passwd`", "outside the database"),
        ("EXISTS default.`/etc/passwd`", "outside the database"),
        ("SHOW TABLES FROM default", "outside the database"),
        ("SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS a)", r"file\(\) is not allowed"),
        ("SELECT * APPLY(x -> FILE(x)) FROM (SELECT 'x' AS a)", r"FILE\(\) is not allowed"),
        ("SELECT COLUMNS('a') APPLY `file` FROM (SELECT 'x' AS a)", r"file\(\) is not allowed"),
        ("SELECT arrayMap(file, ['/etc/passwd'])", r"file\(\) is not allowed"),
        ("WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])", r"file\(\) is not allowed"),
        (
            "SELECT * APPLY(x -> (SELECT * FROM url('http://x'))) FROM sla",
            r"url\(\) is not allowed",
        ),
        ("SELECT * APPLY(x -> (SELECT * FROM default.`/x`)) FROM sla", "outside the database"),
        ("SELECT aiGenerate('x', 'y')", r"aiGenerate\(\) is not allowed"),
    ],
)
def test_whatever_writes_or_reads_elsewhere_is_refused_with_the_mend(
    client: ClickHouse, sql: str, mend: str
) -> None:
    with pytest.raises(StatementError, match=mend):
        classify(client, sql)


def test_the_reading_connection_refuses_writes_on_its_own(client: ClickHouse) -> None:
    with pytest.raises(Exception, match="readonly"):
        client.command("CREATE TABLE leads.x (a Int8) ENGINE = Memory")
