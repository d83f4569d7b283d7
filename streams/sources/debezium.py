"""Debezium's change events of a database: the envelope of one row's change, into one change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS
from leadstream.streams.ingest.cells import text_of
from leadstream.streams.ingest.changes import Operation
from leadstream.streams.sources.change import Change
from leadstream.streams.sources.connect_types import (
    Meanings,
    meanings_in_avro,
    meanings_in_connect,
    meant,
)
from leadstream.streams.sources.payloads import Payload

OPERATIONS: Final[Mapping[str, Operation]] = {
    "c": "created",
    "u": "updated",
    "d": "deleted",
    "r": "read",
}
TRUNCATED: Final = "t"
MESSAGE: Final = "m"
NEW_KEY: Final = "__debezium.newkey"
OLD_KEY: Final = "__debezium.oldkey"
UNAVAILABLE: Final = "__debezium_unavailable_value"
"""In place of a large value that did not change, and that the log therefore does not hold."""

POSITION: Final = (
    "server_id",
    "gtid",
    "file",
    "pos",
    "row",
    "txId",
    "lsn",
    "commit_lsn",
    "change_lsn",
    "event_serial_no",
    "scn",
    "commit_scn",
    "rs_id",
    "ssn",
    "begin_lsn",
    "ord",
    "h",
    "vgtid",
)
"""What of `source` is a place in the database's log, the same whenever the event is delivered."""
SCHEMAS_MAX: Final = 1000
"""So many schemas are remembered; a topic has one a table, and another after each ALTER."""

NO_BEFORE: Final = (
    "let the database log whole rows (PostgreSQL: ALTER TABLE ... REPLICA IDENTITY FULL; MySQL: "
    "binlog_row_image=FULL)"
)


class Debezium:
    """Makes changes of envelopes; keeps what it has learnt of their schemas."""

    def __init__(self) -> None:
        self._meanings: dict[Any, tuple[Meanings, Meanings]] = {}

    def change_of(
        self, payload: Payload, key: Payload | None, headers: Iterable[tuple[str, bytes]]
    ) -> Change | None:
        """Return the change of a record; None for a message that somebody wrote into the log.

        Raises:
            DecodeError: kind no_envelope: it is something else; wrong_type.
        """
        envelope = payload.value
        if not isinstance(envelope, dict) or not isinstance(envelope.get("op"), str):
            raise DecodeError(
                "no_envelope",
                "it has no op: it is no Debezium envelope (a flattened record, heartbeat or "
                "schema change?)",
            )
        op, source = envelope["op"], envelope.get("source")
        if not isinstance(source, dict):
            raise DecodeError("no_envelope", "it has no source")
        if op == MESSAGE:
            return None
        entity = str(source.get("table") or source.get("collection") or "")
        at_ms = _committed_at(source, envelope)
        transaction = _transaction(envelope, source)
        place = [source.get(name) for name in ("connector", "name", "db", "schema")]
        position = {name: source[name] for name in POSITION if source.get(name) is not None}
        if op == TRUNCATED:
            return Change(
                entity=entity,
                operation="gap",
                key=["debezium", *place, entity, op, position],
                at_ms=at_ms,
                transaction=transaction,
                kind="TRUNCATE",
            )
        if op not in OPERATIONS:
            raise DecodeError("wrong_type", f'op "{op[:40]}" is unknown')
        operation = "read" if op == "c" and _is_snapshot(source) else OPERATIONS[op]
        was_as, is_as = self._meanings_of(payload)
        before = _known(meant(_row(envelope, "before") or {}, was_as))
        after = _row(envelope, "after")
        if after is None and operation != "deleted":
            raise DecodeError("wrong_type", f'op "{op}" without after')
        cells = before if after is None else meant(after, is_as)
        record_id = _id_of(key)
        found = dict(headers)
        new_id, old_id = _header_id(found.get(NEW_KEY)), _header_id(found.get(OLD_KEY))
        return Change(
            entity=entity,
            operation="rekeyed" if operation == "deleted" and new_id else operation,
            # A snapshot that is taken again reads the same row at another place.
            key=["debezium", *place, entity, record_id, op, _text(after)]
            if operation == "read"
            else ["debezium", *place, entity, record_id, op, position],
            at_ms=at_ms,
            record_id=record_id,
            cells=_with_known(cells, before),
            before=before or None,
            is_complete=after is not None,
            transaction=transaction,
            new_id=new_id,
            old_id=old_id,
            mend=NO_BEFORE,
        )

    def _meanings_of(self, payload: Payload) -> tuple[Meanings, Meanings]:
        if payload.avro is not None:
            at: Any = id(payload.avro)  # the reader keeps it, so that no other has this id
            find, schema = meanings_in_avro, payload.avro
        elif payload.connect is not None:
            at = msgspec.json.encode(payload.connect)
            find, schema = meanings_in_connect, payload.connect
        else:
            return {}, {}
        if at not in self._meanings:
            if len(self._meanings) >= SCHEMAS_MAX:
                self._meanings.clear()
            self._meanings[at] = find(schema, "before"), find(schema, "after")
        return self._meanings[at]


def _row(envelope: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    row = envelope.get(name)
    if row is not None and not isinstance(row, dict):
        raise DecodeError("wrong_type", f"{name} is no row")
    return row


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in row.items() if value != UNAVAILABLE}


def _with_known(row: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row; what its log does not hold has not changed, and is what it was."""
    return {
        column: before.get(column) if value == UNAVAILABLE else value
        for column, value in row.items()
    }


def _is_snapshot(source: Mapping[str, Any]) -> bool:
    return str(source.get("snapshot") or "false").lower() != "false"


def _committed_at(source: Mapping[str, Any], envelope: Mapping[str, Any]) -> int:
    for told in (source.get("ts_ms"), envelope.get("ts_ms")):
        if isinstance(told, int) and told > 0 and EARLIEST_MS <= told <= LATEST_MS:
            return told
    raise DecodeError("wrong_type", "neither source.ts_ms nor ts_ms is a time in milliseconds")


def _transaction(envelope: Mapping[str, Any], source: Mapping[str, Any]) -> str | None:
    told = envelope.get("transaction")
    found = told.get("id") if isinstance(told, dict) else None
    for candidate in (found, source.get("txId"), source.get("gtid")):
        if candidate is not None:
            return str(candidate)
    return None


def _id_of(key: Payload | None) -> str | None:
    if key is None or key.value is None:
        return None
    if not isinstance(key.value, dict):
        return _text(key.value)
    parts = [_text(part) for part in key.value.values()]
    return ":".join(part or "" for part in parts) or None


def _header_id(value: bytes | None) -> str | None:
    """Return the key that a header holds: JSON, with Connect's schema or without, or plain text."""
    if not value:
        return None
    try:
        plain = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return value.decode("utf-8", "replace")
    if isinstance(plain, dict) and isinstance(plain.get("payload"), dict):
        plain = plain["payload"]
    return _id_of(Payload(plain))


def _text(value: Any) -> str | None:
    try:
        return text_of(value)
    except ValueError:
        raise DecodeError("wrong_type", "a key or a row has no UTF-8 text") from None
