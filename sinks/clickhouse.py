"""One client for both back ends: a ClickHouse server over HTTP, and chDB in process.

Each thread gets its own connection. Times come back aware, in UTC. Every fault is a
`ClickHouseError` that says where and what, and never shows a password.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
from clickhouse_connect.driver.exceptions import OperationalError
from numpy.typing import DTypeLike, NDArray
from pydantic import SecretStr

from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings
from leadstream.sinks.http_faults import answered, unanswered
from leadstream.sinks.lock import DirectoryInUseError, DirectoryLock, chdb_directory

# Faults that pass: timeouts, too many queries, network, memory, read-only replica, too many
# parts, unknown insert status, Keeper. Source: ClickHouse's ErrorCodes.cpp.
TRANSIENT_CODES: Final = frozenset({159, 202, 209, 210, 241, 242, 252, 319, 425, 999})
UNKNOWN_DATABASE: Final = 81
UNKNOWN_TABLE: Final = 60
# Unknown user, wrong password, none given, and newer servers' one code for all.
AUTHENTICATION_CODES: Final = frozenset({192, 193, 194, 516})
ACCESS_DENIED: Final = 497

_RIGHT: Final = re.compile(
    r"(?P<user>[^\s:]+): Not enough privileges\. .*?have the grant (?P<right>.+?)(?:\. \(ACCESS|$)",
    re.DOTALL,
)

DOOR_FILE: Final = "door.json"
"""In a chDB directory: where its process answers others, while it does (see `door`)."""

# It would acknowledge rows before they are stored.
CLIENT_SETTINGS: Final = {"async_insert": 0}

# The driver logs what it also raises, tracebacks among it; every fault is told once, by us.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


class ClickHouseError(Exception):
    """A fault of the back end; `code` is ClickHouse's, or None; `transient` faults may pass."""

    def __init__(self, message: str, code: int | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient
        self.exit_code = ExitCode.TEMPORARY if transient else ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a query with the names and ClickHouse types of its columns."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def objects(self) -> list[dict[str, Any]]:
        """Return each row as a dict."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def quoted(name: str) -> str:
    """Return an identifier in backquotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def literal(text: str) -> str:
    """Return a text as a statement has it, in quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class ClickHouse:
    """A database on one back end; thread-safe.

    Args:
        read_only: the engine refuses every write, DDL and change of settings; a server is asked
            as the analyst, where its password is set.
        writer: a server is asked as the writer, where its password is set.
        create: make a chDB directory that does not exist yet.
    Raises:
        ClickHouseError: no such directory, directory in use, no such server, wrong password.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read_only: bool = False,
        writer: bool = False,
        create: bool = True,
    ) -> None:
        self.database = settings.clickhouse_database
        self._read_only = read_only
        self._clients = threading.local()
        self._all_clients: list[Any] = []
        self._guard = threading.Lock()
        self._lock: DirectoryLock | None = None
        self._column_types: dict[str, dict[str, str]] = {}
        self._in_database = False
        self._through_door = False
        self._user = _user_of(settings, read_only=read_only, writer=writer)
        url = urlsplit(settings.effective_clickhouse_url)
        if url.scheme == "chdb":
            path = chdb_directory(settings)
            self.where = f"chDB directory {path}"
            self._options = self._take_directory(path, create)
        else:
            self._options = _server_options(settings, self._user)
            self.where = f"ClickHouse server {url.scheme}://{url.hostname}:{self._options['port']}"
        try:
            self._client()
        except BaseException:
            self.close()
            raise

    @property
    def is_embedded(self) -> bool:
        """Whether it is chDB in this process, which no other process can reach meanwhile."""
        return self._lock is not None

    def __enter__(self) -> ClickHouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def table(self, name: str) -> str:
        """Return a table's quoted name with its database."""
        return f"{quoted(self.database)}.{quoted(name)}"

    def require_database(self) -> None:
        """Make the database the default of unqualified names.

        Raises:
            ClickHouseError: it does not exist, or was never migrated.
        """
        if not self.has_schema():
            raise ClickHouseError(
                f'no database "{self.database}" in the {self.where}: run `leadstream demo` or '
                "`leadstream migrate` first, or name another with --data-dir or --clickhouse"
            )
        self._in_database = True

    def has_schema(self) -> bool:
        """Return whether the database was ever migrated."""
        found = self.query(
            "SELECT count() FROM system.tables WHERE database = {database:String} "
            "AND name = 'schema_versions'",
            {"database": self.database},
        )
        return bool(found.rows[0][0])

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result:
        """Run one statement and return its rows; `parameters` are bound by ClickHouse."""
        client = self._client()
        try:
            found = client.query(sql, parameters=dict(parameters) if parameters else None)
        except Exception as error:  # the driver lets urllib3's and OS faults through
            raise self._fault(error) from None
        types = tuple(column_type.name for column_type in found.column_types)
        return Result(tuple(found.column_names), types, found.result_rows)

    def numbers(
        self, sql: str, form: DTypeLike, parameters: Mapping[str, Any] | None = None
    ) -> NDArray[Any]:
        """Run one statement and return its rows as an array, without an object for each value.

        Args:
            form: a structured type with the types of the columns, which are numbers and not
                Nullable, in their order.
        """
        return np.frombuffer(self.raw(sql, "RowBinary", parameters), form)

    def text(self, sql: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Run one statement and return the engine's own text, tab-separated."""
        return self.raw(sql, None, parameters).decode("utf-8", "replace")

    def raw(self, sql: str, form: str | None, parameters: Mapping[str, Any] | None = None) -> bytes:
        """Run one statement and return the engine's answer, in one of its formats.

        Args:
            form: what is put behind FORMAT; None leaves it out, and is tab-separated.
        """
        client = self._client()
        try:
            found: bytes = client.raw_query(
                sql, parameters=dict(parameters) if parameters else None, fmt=form
            )
        except Exception as error:
            raise self._fault(error) from None
        return found

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run one statement without an answer."""
        try:
            self._client().command(sql, parameters=dict(parameters) if parameters else None)
        except Exception as error:
            raise self._fault(error) from None

    def insert(self, table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
        """Insert `values`, one sequence a column; times are epoch milliseconds."""
        types = self._types_of(table)
        try:
            self._client().insert(
                quoted(table),
                values,
                column_names=list(columns),
                column_type_names=[types[column] for column in columns],
                database=self.database,
                column_oriented=True,
            )
        except Exception as error:
            raise self._fault(error) from None

    def insert_native(self, table: str, columns: Sequence[str], file: Path) -> None:
        """Insert a file in ClickHouse's Native format; see `leadstream.sinks.native`."""
        target = self.table(table)
        try:
            if self.is_embedded:
                # The engine reads the file itself; the driver would copy it first.
                names = ", ".join(map(quoted, columns))
                self._client().command(
                    f"INSERT INTO {target} ({names}) FROM INFILE {literal(str(file))} FORMAT Native"
                )
            else:
                with file.open("rb") as body:
                    self._client().raw_insert(target, list(columns), body, fmt="Native")
        except Exception as error:
            raise self._fault(error) from None

    def close(self) -> None:
        """Close every thread's connection and free the directory."""
        with self._guard:
            for client in self._all_clients:
                client.close()
            self._all_clients.clear()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _client(self) -> Any:
        client = getattr(self._clients, "client", None)
        if client is None:
            try:
                client = clickhouse_connect.get_client(
                    **self._options, settings=dict(CLIENT_SETTINGS), tz_mode="aware"
                )
                if self._read_only:
                    self._make_read_only(client)
            except Exception as error:
                raise self._fault(error) from None
            with self._guard:
                self._all_clients.append(client)
            self._clients.client = client
        if self._in_database and client.database != self.database:
            client.database = self.database
        return client

    def _make_read_only(self, client: Any) -> None:
        # chDB keeps a session a connection. Over HTTP, readonly=2 still lets the driver send
        # its own settings; the classifier refuses SETTINGS in a user's statement.
        if self._lock is not None:
            client.command("SET readonly = 1")
        elif not self._through_door:  # which answers nothing but reads
            client.set_client_setting("readonly", 2)

    def _types_of(self, table: str) -> dict[str, str]:
        types = self._column_types.get(table)
        if types is None:
            found = self.query(
                "SELECT name, type FROM system.columns "
                "WHERE database = {database:String} AND table = {table:String}",
                {"database": self.database, "table": table},
            )
            types = self._column_types[table] = dict(found.rows)
        return types

    def _take_directory(self, path: Path, create: bool) -> dict[str, Any]:
        try:
            import chdb  # noqa: F401
        except ImportError:
            raise ClickHouseError(
                "chDB is not installed: pip install 'leadstream[embedded]', or set "
                "LEADSTREAM_CLICKHOUSE_URL to a server"
            ) from None
        if not create and not path.is_dir():
            raise ClickHouseError(
                f"no {self.where}: run `leadstream demo` or `leadstream migrate` first, or name "
                "another with --data-dir or --clickhouse"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = DirectoryLock(path)
            lock.acquire()
        except DirectoryInUseError as error:
            through_door = _door_options(path / DOOR_FILE) if self._read_only else None
            if through_door is not None:
                self._through_door = True
                return through_door
            # Whoever has it may be about to end, a sink before this one, say.
            raise ClickHouseError(str(error), transient=True) from None
        except OSError as error:
            raise ClickHouseError(f"{self.where}: {error.strerror}") from None
        self._lock = lock
        if not self._read_only:
            # Whoever left it was killed; no reader shall knock there.
            (path / DOOR_FILE).unlink(missing_ok=True)
        return {"interface": "chdb", "path": str(path)}

    def _fault(self, error: Exception) -> ClickHouseError:
        if isinstance(error, ClickHouseError):
            return error
        code = getattr(error, "code", None)
        if code in AUTHENTICATION_CODES:
            return ClickHouseError(
                f"{self.where} refused the user {self._user.name}: check {self._user.key}_username "
                f"and {self._user.key}_password",
                code,
            )
        if code == ACCESS_DENIED:
            return ClickHouseError(f"{self.where}: {_denied(answered(error))}", code)
        if code is None and (fault := unanswered(error)):
            return ClickHouseError(f"{self.where}: {fault.message}", None, fault.transient)
        unreachable = isinstance(error, OperationalError) or not isinstance(error, DriverError)
        transient = unreachable if code is None else code in TRANSIENT_CODES
        return ClickHouseError(f"{self.where}: {answered(error)}", code, transient)


def _door_options(file: Path) -> dict[str, Any] | None:
    """Return how to reach the process that holds the directory, where it answers others."""
    try:
        key = json.loads(file.read_text("utf-8"))
        url = urlsplit(key["url"])
        return {
            "host": url.hostname,
            "port": url.port,
            "username": key["username"],
            "password": key["password"],
            "autogenerate_session_id": False,
            "compress": False,
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class _User:
    """A user of a server: name, password, and how the settings of both begin."""

    name: str
    password: SecretStr | None
    key: str


def _user_of(settings: Settings, *, read_only: bool, writer: bool) -> _User:
    key = "clickhouse"
    if read_only and settings.clickhouse_analyst_password:
        key = "clickhouse_analyst"
    elif writer and settings.clickhouse_writer_password:
        key = "clickhouse_writer"
    return _User(getattr(settings, f"{key}_username"), getattr(settings, f"{key}_password"), key)


def _denied(said: str) -> str:
    """Return what the server says of a missing right, and who may give it."""
    right = _RIGHT.search(said)
    if right is None:
        return said
    return (
        f"the user {right['user']} lacks the right {right['right']}: `leadstream migrate`, run by "
        "a user that may manage access, gives the roles what they need"
    )


def _server_options(settings: Settings, user: _User) -> dict[str, Any]:
    url = urlsplit(settings.effective_clickhouse_url)
    secure = url.scheme == "https"
    options: dict[str, Any] = {
        "host": url.hostname,
        "port": url.port or (8443 if secure else 8123),
        "username": user.name,
        "password": user.password.get_secret_value() if user.password else "",
        "secure": secure,
        # One session would serialise the threads.
        "autogenerate_session_id": False,
    }
    if settings.clickhouse_ca_file:
        options["ca_cert"] = str(settings.clickhouse_ca_file)
    return options
