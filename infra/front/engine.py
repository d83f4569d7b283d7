"""chDB, asked on behalf of others: one connection a question, with limits, and nothing but reads.

Each question is asked and answered in one thread, which is also what chDB wants of a connection.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from leadstream.infra.front.faults import (
    NO_SUCH_FORMAT,
    READONLY,
    SYNTAX_ERROR,
    UNKNOWN_DATABASE,
    EngineError,
    FrontError,
)
from leadstream.infra.front.native import header_block, reframed
from leadstream.infra.front.sent_settings import LIMITS, MAX_WHOLE_ANSWER_BYTES, admitted
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import (
    ClickHouse,
    ClickHouseError,
    Result,
    literal,
    quoted,
)
from leadstream.sinks.lock import chdb_directory
from leadstream.sinks.statements import READABLE_DATABASES, StatementError, classify, normalise

DEFAULT_FORMAT: Final = "TabSeparated"
TIME_ZONE: Final = "UTC"
DEFAULT_DATABASE: Final = "default"
"""What tools name that were told none; it means the database of the leads."""

# Formats of which each block stands alone; others have a head or a foot around all blocks.
_STREAMED: Final = frozenset({"Native", "RowBinary", "TabSeparated", "TSV", "CSV", "JSONEachRow"})

_SELECTS: Final = ("SELECT ", "WITH ", "(")

# Values that chDB's own Python binding would turn into objects.
_NOT_BYTES: Final = frozenset({"ArrowTable", "DataFrame", "DataStore"})

_FORMAT: Final = re.compile(r"\sFORMAT\s+`?(\w+)`?\s*$")
_CODE: Final = re.compile(r"Code: (\d+)\. ")
_OF_SETTINGS: Final = re.compile(r"SELECT [\w, ]+ FROM system\.settings(?: LIMIT \d+)?")
_EXPLAIN_AST: Final = re.compile(r"^\s*EXPLAIN\s+AST\s", re.IGNORECASE)
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


class Sent(str):
    """A value of a parameter as the client escaped it, which is how the engine reads it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One statement with what came along.

    `is_whole`: nothing is sent before the answer is known to its end.
    """

    statement: str
    form: str | None = None
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Sent] = field(default_factory=dict)
    protocol_version: int = 0
    is_whole: bool = False


Chunks = Generator[bytes, None, None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The engine's bytes in a format; `summary` is known only of an answer that is whole."""

    form: str
    chunks: Chunks
    time_zone: str
    summary: Mapping[str, str] | None = None


class Engine:
    """The chDB directory of the settings, held by this process, open for reading.

    Raises:
        ClickHouseError: no such directory, another process holds it, it was never migrated.
    """

    def __init__(self, settings: Settings) -> None:
        self._holder = ClickHouse(settings, create=False)
        self._killing = threading.Lock()
        self._killer: Any = None
        try:
            if not self._holder.is_embedded:
                raise ClickHouseError(f"{self._holder.where} answers by itself")
            self._holder.require_database()
            self.database = self._holder.database
            self.where = self._holder.where
            self.directory = chdb_directory(settings)
            self.version = str(self._holder.query("SELECT version()").rows[0][0])
            self._formats = self._names("system.formats WHERE is_output") - _NOT_BYTES
            self._settings = self._names("system.settings")
            self._killer = self._connect()
        except BaseException:
            self._holder.close()
            raise

    def close(self) -> None:
        """Free the directory; no question may be open any more."""
        with self._killing:
            self._killer.close()
            self._killer = None
        self._holder.close()

    @contextmanager
    def answer(self, question: Question, name: str) -> Iterator[Answer]:
        """Ask; the chunks of the answer are taken within the context, in the same thread.

        Args:
            name: what `kill` calls it; letters, digits and hyphens, unique.

        Raises:
            FrontError: the statement may not run, or fails, be it while chunks are taken.
        """
        connection = self._connect()
        try:
            answer = self._answer(_Session(connection, self.database), question, name)
            # Before its connection: a stream that is left open would be cancelled on a closed one.
            with closing(answer.chunks):
                yield answer
        except StatementError as error:
            said = str(error)
            code = SYNTAX_ERROR if said.startswith("Syntax error") else READONLY
            raise FrontError(code, said) from None
        except ClickHouseError as error:
            raise EngineError(error.code, str(error)) from None
        finally:
            connection.close()

    def kill(self, name: str) -> None:
        """End the question of that name where it still runs; who asked it gets an error."""
        with self._killing:
            if self._killer is not None:
                self._killer.query(
                    f"KILL QUERY WHERE Settings['log_comment'] = '{name}' ASYNC", DEFAULT_FORMAT
                )

    def _connect(self) -> Any:
        import chdb

        # The driver names the directory so; the engine takes another spelling for another one.
        return chdb.connect(os.path.realpath(self.directory))

    def _names(self, source: str) -> frozenset[str]:
        found = self._holder.query(f"SELECT name FROM {source}")  # noqa: S608  our own words
        return frozenset(row[0] for row in found.rows)

    def _answer(self, session: _Session, question: Question, name: str) -> Answer:
        applied = admitted(question.settings, self._settings)
        time_zone = applied.get("session_timezone", TIME_ZONE)
        self._prepare(session, question, applied, name)
        statement, named = _readable(session, question)
        form = named or question.form or DEFAULT_FORMAT
        if form not in self._formats:
            raise FrontError(NO_SUCH_FORMAT, f"Unknown format {form[:100]}.")
        parameters = question.parameters
        version = question.protocol_version
        selects = statement.startswith(_SELECTS)  # of others the engine streams none
        is_streamed = selects and form in _STREAMED and not question.is_whole
        if not is_streamed:
            most = int(applied.get("max_result_bytes", 0)) or MAX_WHOLE_ANSWER_BYTES
            session.command(f"SET max_result_bytes = {min(most, MAX_WHOLE_ANSWER_BYTES)}")
        # 1 also keeps table functions shut; of 2 drivers are told, or they would send no setting.
        session.command(f"SET readonly = {2 if _OF_SETTINGS.fullmatch(statement) else 1}")
        if is_streamed:
            chunks = session.stream(statement, form, parameters)
            if form == "Native":
                chunks = _native(session, statement, parameters, chunks, version)
            return Answer(form, chunks, time_zone)
        found = session.whole(statement, form, parameters)
        chunks = (bytes(part.bytes()) for part in (found,) if part.size())
        if form == "Native":
            chunks = _native(session, statement, parameters, chunks, version)
        summary = {
            "read_rows": str(found.rows_read()),
            "read_bytes": str(found.bytes_read()),
            "elapsed_ns": str(int(found.elapsed() * 1e9)),
        }
        return Answer(form, chunks, time_zone, summary)

    def _prepare(
        self, session: _Session, question: Question, applied: Mapping[str, str], name: str
    ) -> None:
        database = question.database or DEFAULT_DATABASE
        if database == DEFAULT_DATABASE:
            database = self.database
        if database not in {self.database, *READABLE_DATABASES}:
            raise FrontError(
                UNKNOWN_DATABASE,
                f"Database {database[:100]} does not exist: the leads are in {self.database}.",
            )
        session.command(f"USE {quoted(database)}")
        own = {"session_timezone": TIME_ZONE, "log_comment": name}
        told = {**LIMITS, **own, **applied}.items()
        session.command("SET " + ", ".join(f"{name} = {literal(str(to))}" for name, to in told))


class _Session:
    """One connection: what the classifier asks, and what it let pass, is asked through it."""

    def __init__(self, connection: Any, database: str) -> None:
        self._connection = connection
        self.database = database

    def command(self, sql: str) -> None:
        self._ask(sql, DEFAULT_FORMAT, None)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result:
        told = json.loads(self._ask(sql, "JSONCompact", parameters).bytes())
        names, types = zip(*((c["name"], c["type"]) for c in told["meta"]), strict=True)
        return Result(names, types, [tuple(row) for row in told["data"]])

    def text(self, sql: str, parameters: Mapping[str, Any] | None = None) -> str:
        found: bytes = self._ask(sql, DEFAULT_FORMAT, parameters).bytes()
        return found.decode("utf-8", "replace")

    def whole(self, sql: str, form: str, parameters: Mapping[str, Sent]) -> Any:
        return self._ask(sql, form, parameters)

    def stream(self, sql: str, form: str, parameters: Mapping[str, Sent]) -> Chunks:
        try:
            found = self._connection.send_query(sql, form, params=_bound(parameters))
            with found:
                for chunk in found:
                    yield bytes(chunk.bytes())
        except Exception as error:  # the binding's faults have no class in common
            raise _fault(error) from None

    def _ask(self, sql: str, form: str, parameters: Mapping[str, Any] | None) -> Any:
        try:
            return self._connection.query(sql, form, params=_bound(parameters or {}))
        except Exception as error:
            raise _fault(error) from None


def _readable(session: _Session, question: Question) -> tuple[str, str | None]:
    """Return the statement as the engine writes it, and the format that it names.

    Raises:
        StatementError: it may not run.
    """
    statement = normalise(session, question.statement)
    named = _FORMAT.search(statement)
    bare = statement[: named.start()] if named else statement
    explained = _EXPLAIN_AST.match(bare)
    if explained:
        # A statement that is only parsed opens nothing; `classify` of other processes asks so.
        return f"EXPLAIN AST {normalise(session, bare[explained.end() :])}", named and named[1]
    return classify(session, bare, question.parameters), named and named[1]


def _native(
    session: _Session,
    statement: str,
    parameters: Mapping[str, Sent],
    chunks: Chunks,
    version: int,
) -> Chunks:
    empty = True
    for chunk in chunks:
        empty = False
        yield reframed(chunk, version)
    if empty:
        told = session.whole(f"{statement}\nFORMAT JSON", "JSON", parameters).bytes()
        if told:
            yield reframed(header_block(json.loads(told)["meta"]), version)


def _bound(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value) if isinstance(value, Sent) else str(value).translate(_ESCAPES)
        for name, value in parameters.items()
    }


def _fault(error: Exception) -> ClickHouseError:
    said = str(error)
    found = _CODE.search(said)
    return ClickHouseError(
        said[found.start() :] if found else said, int(found[1]) if found else None
    )
