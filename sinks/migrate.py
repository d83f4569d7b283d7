"""Brings a database to the shipped schema: numbered scripts once each, views when they change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from importlib import resources

from leadstream.schemas.exit_codes import ExitCode
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError, quoted
from leadstream.sinks.described import described

VIEW_VERSION = 0
_VIEW_READ = re.compile(r"\{database\}\.(v_\w+)")


class MigrationError(Exception):
    """The database and the shipped scripts do not fit; the message says which and why."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.CONFIGURATION) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Script:
    """One statement; `version` is 0 for a view's SELECT, whose head describes it."""

    version: int
    name: str
    text: str

    @property
    def md5(self) -> str:
        return hashlib.md5(self.text.encode(), usedforsecurity=False).hexdigest()

    def statements(self, database: str) -> list[str]:
        """Return the statements for a database: one, and a view's comments."""
        body = self.text.replace("{database}", quoted(database))
        if self.version != VIEW_VERSION:
            return [body]
        view = f"{quoted(database)}.{quoted(self.name.removesuffix('.sql'))}"
        comments = described(self.text).statement(view)
        return [f"CREATE OR REPLACE VIEW {view} AS\n{body}", *([comments] if comments else [])]


def shipped_scripts() -> list[Script]:
    """Return the numbered scripts in order, then the views, each after those that it reads."""
    return [
        Script(int(name.partition("_")[0]), name, text) for name, text in _texts("migrations")
    ] + _after_what_they_read(
        [Script(VIEW_VERSION, name, text) for name, text in _texts("analytics")]
    )


def migrate(client: ClickHouse, scripts: Sequence[Script] | None = None) -> list[str]:
    """Apply what was not applied yet and return its names; a second call applies nothing.

    Raises:
        MigrationError: an applied script was changed since, or one fails.
    """
    chosen = shipped_scripts() if scripts is None else scripts
    bootstrap = chosen[0]
    if not client.has_schema():  # a writer may not create, and need not
        client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(client.database)} ENGINE = Atomic")
        for statement in bootstrap.statements(client.database):
            client.command(statement)
    applied = _applied(client)
    _refuse_changed(chosen, applied)
    done = []
    for script in chosen:
        if applied.get((script.version, script.name)) == script.md5:
            continue
        try:
            for statement in script.statements(client.database):
                client.command(statement)
        except ClickHouseError as error:
            raise MigrationError(
                f"migration {script.name} failed: {error}", error.exit_code
            ) from None
        _record(client, script)
        done.append(script.name)
    client.require_database()
    return done


def _texts(directory: str) -> list[tuple[str, str]]:
    folder = resources.files("leadstream.sinks") / directory
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text("utf-8")) for name in names]


def _after_what_they_read(views: Sequence[Script]) -> list[Script]:
    """Return views so that each comes after those that it reads: the engine asks for them."""
    by_name = {view.name: view for view in views}
    reads = {view.name: [f"{name}.sql" for name in _VIEW_READ.findall(view.text)] for view in views}
    return [by_name[name] for name in TopologicalSorter(reads).static_order()]


def _applied(client: ClickHouse) -> dict[tuple[int, str], str]:
    found = client.query(
        f"SELECT version, script, toString(argMax(md5, created_at)) "  # noqa: S608
        f"FROM {client.table('schema_versions')} GROUP BY version, script"
    )
    return {(version, script): md5 for version, script, md5 in found.rows}


def _refuse_changed(scripts: Sequence[Script], applied: Mapping[tuple[int, str], str]) -> None:
    for script in scripts:
        md5 = applied.get((script.version, script.name), script.md5)
        if script.version != VIEW_VERSION and md5 != script.md5:
            raise MigrationError(
                f"migration {script.name} was applied with md5 {md5} and is now {script.md5}: an "
                "applied script must not change, because databases would differ silently; restore "
                "it and put the change into a new script"
            )
    newest = max(script.version for script in scripts)
    for version, name in applied:
        if version > newest:
            raise MigrationError(
                f"the database has migration {name}, and this leadstream knows up to {newest}: "
                "upgrade leadstream"
            )


def _record(client: ClickHouse, script: Script) -> None:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    client.insert(
        "schema_versions",
        ("version", "script", "md5", "created_at"),
        [[script.version], [script.name], [script.md5], [now_ms]],
    )
