"""Erased leads: their rows go, down to the bytes on disk, and what was before is not inserted.

A row is from before an erasure if what it tells of began up to that instant. Besides, a null value
on a topic takes every row of its lead that the topic told of so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

from leadstream.schemas.events import EpochMs
from leadstream.schemas.topics import (
    LEAD_ACCOUNTS,
    LEAD_LEAKS,
    LEAD_SHADOW,
    LEAD_SLA,
    LEAD_STATE,
    LEAD_TRANSITIONS,
)
from leadstream.sinks.clickhouse import ClickHouse

TABLES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    LEAD_TRANSITIONS: ("transitions", "score_history"),
    LEAD_SLA: ("sla",),
    LEAD_LEAKS: ("leaks",),
    LEAD_STATE: ("lead_state", "identities"),
    LEAD_SHADOW: ("shadow_transitions",),
    LEAD_ACCOUNTS: ("account_state",),
}
"""What each topic tells of leads, or of accounts, by null values, too."""
KEY_OF: Final[Mapping[str, str]] = {"account_state": "account"}
"""Tables that are not of leads, and whose they are: an account goes with its last lead."""

_BEGAN: Final[Mapping[str, tuple[str, str]]] = {
    "touchpoints": ("lead_id", "occurred_at"),
    "crm_events": ("lead_id", "occurred_at"),
    "transitions": ("lead_id", "occurred_at"),
    "score_history": ("lead_id", "occurred_at"),
    "sla": ("lead_id", "started_at"),
    "leaks": ("lead_id", "opened_at"),
    "shadow_transitions": ("lead_id", "occurred_at"),
    "lead_state": ("lead_id", "first_event_at"),
    "identities": ("lead_id", "first_event_at"),
    "dead_letters": ("key", "failed_at"),
}
"""Per table, whose a row is, and when that of which it tells began."""

# The driver puts a command's parameters into the URL, of which a server reads 1 MiB.
LEADS_AT_ONCE: Final = 1000

Erased = dict[str, EpochMs]
"""Leads, and up to when they were erased."""


def read_erased(client: ClickHouse) -> Erased:
    """Return every lead that was erased, and up to when."""
    found = client.query(
        "SELECT lead_id, toUnixTimestamp64Milli(max(erased_at)) "  # noqa: S608
        f"FROM {client.table('erasures')} GROUP BY lead_id"
    )
    return dict(found.rows)


def merge(known: Erased, more: Mapping[str, EpochMs]) -> None:
    """Take erasures over into those that are known; the latest of a lead counts."""
    for lead_id, at in more.items():
        known[lead_id] = max(at, known.get(lead_id, at))


def survivors(
    kind: str, records: Sequence[Any], erased: Mapping[str, EpochMs]
) -> list[bool] | None:
    """Return which records of a kind are not from before their lead's erasure; None: all.

    Args:
        kind: of `rows.TABLES`; a record's attributes are named as the columns of its main table.
    """
    if not erased or kind in KEY_OF:
        return None
    who, began = map(attrgetter, _BEGAN[kind])
    of = _letter_keys(erased) if kind == "dead_letters" else erased
    if of.keys().isdisjoint(map(who, records)):
        return None
    return [who(record) not in of or began(record) > of[who(record)] for record in records]


def erase(
    client: ClickHouse,
    erased: Mapping[str, EpochMs],
    forgotten: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Remember erasures and delete what was before them; repeating it changes nothing.

    Args:
        forgotten: per table, leads or accounts of which every row is deleted.
    """
    if erased:
        client.insert("erasures", ("lead_id", "erased_at"), [list(erased), list(erased.values())])
    for table in (*_BEGAN, *KEY_OF):
        gone = sorted((forgotten or {}).get(table, ()))
        before = [] if table in KEY_OF else sorted(erased.items())
        changed = False
        for where, parameters in _conditions(table, before, gone):
            changed |= _delete(client, table, where, parameters)
        if changed:
            # DELETE only hides rows until a merge; this rewrites what holds them, meanwhile.
            client.command(
                f"ALTER TABLE {client.table(table)} APPLY DELETED MASK SETTINGS mutations_sync = 0"
            )


def _conditions(
    table: str, erased: Sequence[tuple[str, EpochMs]], gone: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the conditions of the rows to delete, as few as can be: each is a mutation."""
    for before, named in zip_longest(chunks(erased), chunks(gone)):
        where, parameters = _before(table, before) if before else ("false", {})
        if named:
            who = KEY_OF.get(table, "lead_id")
            where, parameters = f"({where}) OR {who} IN {{gone:Array(String)}}", dict(parameters)
            parameters["gone"] = named
        yield where, parameters


def rows_left(client: ClickHouse, erased: Mapping[str, EpochMs]) -> dict[str, int]:
    """Return how many rows from before their erasure each table has of some leads."""
    left = dict.fromkeys(_BEGAN, 0)
    for chunk in chunks(sorted(erased.items())):
        for table in left:
            where, parameters = _before(table, chunk)
            sql = f"SELECT count() FROM {client.table(table)} WHERE {where}"  # noqa: S608
            left[table] += client.query(sql, parameters).rows[0][0]
    return left


def _before(table: str, erased: Sequence[tuple[str, EpochMs]]) -> tuple[str, dict[str, Any]]:
    """Return the condition of a table's rows that are from before their lead's erasure."""
    who, began = _BEGAN[table]
    ids, untils = (list(column) for column in zip(*erased, strict=True))
    return (
        f"{who} IN {{ids:Array(String)}} AND toUnixTimestamp64Milli({began}) "
        f"<= transform({who}, {{ids:Array(String)}}, {{untils:Array(Int64)}}, toInt64(0))",
        {"ids": ids, "untils": untils},
    )


def _delete(client: ClickHouse, table: str, where: str, parameters: Mapping[str, Any]) -> bool:
    # A mutation costs every part of the table something, so it is spared where there is nothing.
    name = client.table(table)
    found = client.query(f"SELECT 1 FROM {name} WHERE {where} LIMIT 1", parameters)  # noqa: S608
    if found.rows:
        client.command(f"DELETE FROM {name} WHERE {where}", parameters)  # noqa: S608
    return bool(found.rows)


def chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Give items, so many at a time as the parameters of a statement take."""
    for start in range(0, len(items), LEADS_AT_ONCE):
        yield list(items[start : start + LEADS_AT_ONCE])


def _letter_keys(erased: Mapping[str, EpochMs]) -> dict[bytes, EpochMs]:
    return {lead_id.encode(): at for lead_id, at in erased.items()}
