"""From a block of a log to its events under their leads, in the shards of those leads."""

from __future__ import annotations

import os
from collections import defaultdict

import msgspec

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import EpochMs, is_erasure
from leadstream.streams.backfill.inputs import Block, events_of
from leadstream.streams.backfill.shards import Entries, ShardWriter, encode_event, number_of
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import Resolver, StatedIdentity


class SplitBlock(msgspec.Struct, kw_only=True):
    """What a block held.

    Attributes:
        events: how many events were accepted.
        latest: when the latest of them happened; 0 where there is none.
        erased: the leads whose erasure it asks for, and up to when.
        faults: numbers of lines or records that cannot be used, and what is wrong with each.
        sizes: bytes that it added to each shard.
    """

    file: str
    consumed: int
    events: int = 0
    latest: EpochMs = 0
    erased: dict[str, EpochMs] = {}
    faults: list[tuple[int, str]] = []
    sizes: dict[int, int] = {}


def split(
    block: Block,
    shards: int,
    writer: ShardWriter,
    resolver: Resolver | None = None,
    hider: AddressHider | None = None,
) -> SplitBlock:
    """Write a block's events into the shards of their leads.

    Raises:
        UnreadableError: the file is broken there.
    """
    resolver = resolver or StatedIdentity()
    found = SplitBlock(file=block.file, consumed=block.consumed)
    topic = os.path.basename(block.file)  # noqa: PTH119  a path is needed once a block
    waiting: defaultdict[int, Entries] = defaultdict(list)
    for number, event in events_of(block):
        try:
            if isinstance(event, DecodeError):
                raise event
            told = event if hider is None else hider.event(event)
            accepted = accept(told, resolver, topic=topic, partition=0, offset=number - 1)
        except DecodeError as error:
            fault = str(error) if hider is None else hider.text(str(error))
            found.faults.append((number, fault))
            continue
        found.events += 1
        for lead_event in accepted:
            lead_id = lead_event.lead_id
            found.latest = max(found.latest, lead_event.occurred_at)
            waiting[number_of(lead_id) % shards].append((lead_id, encode_event(lead_event)))
            if is_erasure(lead_event):
                known = found.erased.get(lead_id, -NEVER_MS)
                found.erased[lead_id] = max(known, lead_event.occurred_at)
    found.sizes = writer.add(block.seq, waiting)
    return found
