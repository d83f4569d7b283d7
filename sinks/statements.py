"""Decides which SQL of a user may run: one read-only statement over this database.

chDB has no users and reads any file that a table function or a quoted path names, so the engine's
own parser is asked what a statement is before it runs; nothing that it names is opened for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from leadstream.sinks.clickhouse import ClickHouseError, Result

READ_ONLY_ROOTS: Final = (
    "SelectWithUnionQuery",
    "SelectIntersectExceptQuery",
    "DescribeQuery",
    "Explain",
    "Exists",
    "Show",
)
SAFE_TABLE_FUNCTIONS: Final = frozenset(
    """numbers numbers_mt zeros zeros_mt generateseries generate_series primes values null view
    format""".split()
)
UNSAFE_FUNCTIONS: Final = frozenset(
    """file catboostevaluate hascolumnintable input sleep sleepeachrow
    aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate""".split()
)
READABLE_DATABASES: Final = frozenset({"system", "information_schema"})

_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_OUTFILE = re.compile(r"\binto\s+outfile\b", re.IGNORECASE)
_SETTINGS = re.compile(r"\bsettings\s+\w+\s*=", re.IGNORECASE)
_TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*' | `(?P<quoted>(?:\\.|[^`\\])*)` | (?P<word>[^\W\d]\w*) | \S""",
    re.DOTALL | re.VERBOSE,
)
_NODE = re.compile(r"^( *)(\w+) *(.*)$")
_CHILDREN = re.compile(r" \(children \d+\)$")
_ALIAS = re.compile(r" \(alias .*\)$")


class Reader(Protocol):
    """Who is asked what a statement is: a `ClickHouse`, or whoever answers as it does."""

    @property
    def database(self) -> str: ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result: ...

    def text(self, sql: str, parameters: Mapping[str, Any] | None = None) -> str: ...


class StatementError(Exception):
    """A statement that may not run; the message says why and what may."""


def classify(client: Reader, sql: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Return the one read-only statement, as the engine writes it, without comments.

    Args:
        parameters: what the statement's own {name:Type} stand for.

    Raises:
        StatementError: several statements, a write, a read of files or other systems, settings.
    """
    statement = normalise(client, sql)
    try:
        tree = client.text(f"EXPLAIN AST {statement}", parameters)
    except ClickHouseError as error:
        raise StatementError(_refused_root(statement, str(error))) from None
    nodes = list(_nodes(tree))
    _check_root(nodes, statement)
    table_functions = _table_functions(client)
    databases = _closed_databases(client)
    for _, node, name in nodes:
        if node == "Function":
            _check_function(name, table_functions, client.database)
        if node in ("TableIdentifier", "Identifier"):
            _check_identifier(name, node, databases, client.database)
    _check_words(statement, table_functions, databases, client.database)
    return statement


def normalise(client: Reader, sql: str) -> str:
    """Return the one statement as the engine writes it, without comments; nothing is opened.

    Raises:
        StatementError: no statement or several, INTO OUTFILE, settings.
    """
    if not sql.strip():
        raise StatementError("no SQL given: try `leadstream query 'SHOW TABLES'`")
    try:
        statement = str(
            client.query("SELECT formatQuerySingleLine({sql:String})", {"sql": sql}).rows[0][0]
        )
    except ClickHouseError as error:
        raise StatementError(_syntax(str(error))) from None
    bare = _QUOTED.sub("''", statement)
    if _SETTINGS.search(bare):
        raise StatementError("SETTINGS are not allowed here: leave them out")
    if _OUTFILE.search(bare):
        raise StatementError(
            "INTO OUTFILE writes a file: redirect the output of `leadstream query --format csv`"
        )
    return statement


def _nodes(tree: str) -> Iterator[tuple[int, str, str]]:
    for line in tree.splitlines():
        match = _NODE.match(line)
        if match:
            indent, node, rest = match.groups()
            yield len(indent), node, _ALIAS.sub("", _CHILDREN.sub("", f" {rest}")).strip()


def _check_root(nodes: list[tuple[int, str, str]], statement: str) -> None:
    root = nodes[0][1] if nodes else ""
    if not root.startswith(READ_ONLY_ROOTS):
        raise StatementError(_refused_root(statement, ""))
    below = {node for depth, node, _ in nodes if depth == 1}
    if root == "Explain" and not below <= {"Set", "SelectWithUnionQuery"}:
        raise StatementError("EXPLAIN takes a SELECT here: explain only what may also run")
    if root == "SelectWithUnionQuery" and "Identifier" in below:
        raise StatementError("FORMAT is not allowed here: choose it with --format")


def _check_words(
    statement: str, table_functions: frozenset[str], closed: frozenset[str], database: str
) -> None:
    """Refuse what the tree does not show: lambdas of APPLY, functions named as arguments."""
    tokens = [(m[0], m["quoted"] or m["word"] or "") for m in _TOKEN.finditer(statement)]
    texts = ["", *(text for text, _ in tokens), ""]
    for at, (_, name) in enumerate(tokens, start=1):
        if not name:
            continue
        before, after = texts[at - 1], texts[at + 1]
        if after == "(" or (name.lower() in UNSAFE_FUNCTIONS and before.upper() != "AS"):
            _check_function(name, table_functions, database)
        elif after == "." and before != "." and name.lower() in closed:
            raise StatementError(_outside(name, database))


def _check_function(name: str, table_functions: frozenset[str], database: str) -> None:
    folded = name.lower()
    own_view = folded.removeprefix(f"{database.lower()}.").startswith("v_")
    if folded in SAFE_TABLE_FUNCTIONS or own_view:
        return
    if folded in table_functions or folded in UNSAFE_FUNCTIONS:
        raise StatementError(
            f"{name}() is not allowed here: it reaches outside the database; load the data with "
            "`leadstream ingest` and query the tables (SHOW TABLES)"
        )


def _check_identifier(name: str, node: str, closed: frozenset[str], database: str) -> None:
    first, dot, _ = name.partition(".")
    folded = first.lower()
    unknown = node == "TableIdentifier" and dot and folded not in READABLE_DATABASES
    if folded in closed or (unknown and first != database):
        raise StatementError(_outside(name, database))


def _outside(name: str, database: str) -> str:
    return (
        f'"{name}" is outside the database "{database}": only its tables, system and '
        "information_schema may be read"
    )


def _table_functions(client: Reader) -> frozenset[str]:
    found = client.query("SELECT lower(name) FROM system.table_functions")
    return frozenset(row[0] for row in found.rows)


def _closed_databases(client: Reader) -> frozenset[str]:
    found = client.query("SELECT name FROM system.databases")
    names = {row[0].lower() for row in found.rows} | {"default"}
    return frozenset(names - READABLE_DATABASES - {client.database.lower()})


def _syntax(message: str) -> str:
    if "Multi-statements" in message:
        return "only one statement at a time: run them one after the other"
    found = re.search(r"Syntax error.*", message.replace("\n", " "))
    detail = found.group(0) if found else message
    return re.sub(r" ?: ?In scope SELECT formatQuery.*|\. ?\(SYNTAX_ERROR\).*", "", detail)


def _refused_root(statement: str, detail: str) -> str:
    verb = statement.split(maxsplit=1)[0].upper()
    reason = f" ({detail})" if detail else ""
    return (
        f"{verb} is not allowed here: only SELECT, WITH, SHOW, DESCRIBE, EXPLAIN and EXISTS, "
        f"which change nothing{reason}"
    )
