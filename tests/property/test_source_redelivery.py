"""Whatever a feed delivers again, and however it comes in batches, it gives the same events."""

from __future__ import annotations

import random
from typing import Any

from change_feeds import (
    AT_MS,
    DATABASE,
    SALESFORCE,
    Feed,
    as_json,
    change_event,
    deal_row,
    envelope,
    lead_row,
    source,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.streams.engine.processor import Record
from leadstream.streams.sources.sources_file import Source

STATUSES = ["new", "assigned", "working", "qualified", "recycled", "unqualified", "rejected"]
OF_DATABASE = source("debezium", DATABASE)
OF_SALESFORCE = source("salesforce", SALESFORCE)
chances = st.integers(0, 10**6).map(random.Random)
SF_STATUSES = ["Open", "Working - Contacted", "Qualified", "Nurture", "Closed - Not Converted"]


@st.composite
def database_logs(draw: st.DrawFn) -> list[bytes]:
    """A database's log: rows that come, change and go, with a snapshot somewhere."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    log = []
    for lsn in range(1, draw(st.integers(1, 25)) + 1):
        table = draw(st.sampled_from(["leads", "deals", "audit"]))
        at = (table, draw(st.integers(1, 3)))
        make = deal_row if table == "deals" else lead_row
        told: dict[str, Any] = {"table": table, "lsn": lsn, "at_ms": AT_MS + lsn}
        if at not in rows:
            rows[at] = make(at[1])
            log.append(envelope(draw(st.sampled_from("cr")), None, rows[at], **told))
        elif draw(st.integers(0, 5)) == 0:
            log.append(envelope("d", rows.pop(at), None, **told))
        else:
            status = draw(st.sampled_from(STATUSES))
            stage = draw(st.sampled_from(["open", "offer", "won", "lost"]))
            new = {"stage": stage} if table == "deals" else {"status": status}
            was, rows[at] = rows[at], {**rows[at], **new}
            log.append(envelope("u", was, rows[at], **told))
    return [as_json(each) for each in log]


@st.composite
def salesforce_logs(draw: st.DrawFn) -> list[bytes]:
    log = []
    for number in range(1, draw(st.integers(1, 25)) + 1):
        kind = draw(st.sampled_from(["CREATE", "UPDATE", "UPDATE", "DELETE", "GAP_UPDATE"]))
        entity = draw(st.sampled_from(["Lead", "Task", "Account"]))
        change = change_event(
            entity,
            kind,
            f"00Q{draw(st.integers(1, 3))}",
            number=number // 2,
            Status=draw(st.sampled_from([*SF_STATUSES, "Completed"])),
            WhoId="00Q1",
        )
        change["ChangeEventHeader"]["sequenceNumber"] = 1 + number % 2
        log.append(as_json(change))
    return log


def ids_of(of: Source, batches: list[list[bytes]]) -> set[str]:
    feed = Feed(of)
    found: list[str] = []
    for batch in batches:
        records: list[Record] = [feed.record(value) for value in batch]
        result = feed.process(records)
        assert not result.dead_letters
        found += [feed.decoded(output).event_id for output in result.outputs]
    return set(found)


def delivered(log: list[bytes], chance: random.Random) -> list[list[bytes]]:
    """Deliver a log in batches; now and then the feed goes back a little and comes again."""
    at = 0
    batches = []
    while at < len(log):
        size = chance.randint(1, 7)
        batches.append(log[at : at + size])
        at += size
        if chance.random() < 0.4:
            at = max(0, at - chance.randint(1, 12)) if chance.random() < 0.7 else at
            batches.append(log[at : at + 3])
    return batches


def check(of: Source, log: list[bytes], chance: random.Random) -> None:
    once = ids_of(of, [log])
    assert ids_of(of, delivered(log, chance)) == once
    # Each event stands alone: what is redelivered needs nothing of what came before it.
    shuffled = chance.sample(log, len(log))
    assert ids_of(of, [shuffled, *([value] for value in log)]) == once


@settings(max_examples=60, deadline=None)
@given(database_logs(), chances)
def test_a_database_that_is_delivered_again_gives_the_same_ids(
    log: list[bytes], chance: random.Random
) -> None:
    check(OF_DATABASE, log, chance)


@settings(max_examples=60, deadline=None)
@given(salesforce_logs(), chances)
def test_salesforce_delivered_again_gives_the_same_ids(
    log: list[bytes], chance: random.Random
) -> None:
    check(OF_SALESFORCE, log, chance)


@settings(max_examples=60, deadline=None)
@given(database_logs())
def test_every_change_of_a_status_is_an_event_of_its_own(log: list[bytes]) -> None:
    feed = Feed(OF_DATABASE)
    outputs = feed.read(*log).outputs
    events = [feed.decoded(output) for output in outputs]
    steps = [e for e in events if e.type not in ("lead_created", "opportunity_created")]
    assert len({event.event_id for event in steps}) == len(steps)
