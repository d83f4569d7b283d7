"""From a block of a log to its events under their leads, in the shards of those leads.

A claim goes to the shard of the key that is claimed; merges go back with what the block held.
"""

from __future__ import annotations

import os
from collections import defaultdict

import msgspec

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import EpochMs, is_erasure
from leadstream.streams.backfill.inputs import Block, events_of
from leadstream.streams.backfill.shards import Entries, ShardWriter, encode_event, number_of
from leadstream.streams.domain.link_records import Merging, encode_link
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity


class SplitBlock(msgspec.Struct, kw_only=True):
    """What a block held.

    Attributes:
        events: how many events were accepted.
        latest: when the latest of them happened; 0 where there is none.
        erased: the leads whose erasure it asks for, and up to when.
        merges: what it says of which lead ids are another's now, or their own again.
        faults: numbers of lines or records that cannot be used, and what is wrong with each.
        sizes: bytes of events that it added to each shard.
        claimed: bytes of claims that it added to each shard.
    """

    file: str
    consumed: int
    events: int = 0
    latest: EpochMs = 0
    erased: dict[str, EpochMs] = {}
    merges: list[Merging] = []
    faults: list[tuple[int, str]] = []
    sizes: dict[int, int] = {}
    claimed: dict[int, int] = {}


def split(
    block: Block,
    shards: int,
    events: ShardWriter,
    claims: ShardWriter,
    resolver: StatedIdentity | None = None,
    hider: AddressHider | None = None,
) -> SplitBlock:
    """Write a block's events into the shards of their leads, and its claims into those of keys.

    Raises:
        UnreadableError: the file is broken there.
    """
    resolver = resolver or StatedIdentity(hider=hider)
    found = SplitBlock(file=block.file, consumed=block.consumed)
    topic = os.path.basename(block.file)  # noqa: PTH119  a path is needed once a block
    waiting: defaultdict[int, Entries] = defaultdict(list)
    claimed: defaultdict[int, Entries] = defaultdict(list)
    for number, event in events_of(block):
        try:
            if isinstance(event, DecodeError):
                raise event
            told = event if hider is None else hider.event(event)
            accepted = accept(
                told, resolver, topic=topic, partition=0, offset=number - 1, stated=event
            )
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
        if event.type not in resolver.joining:
            continue
        first = accepted[0]
        at = first.occurred_at
        ties, merges = resolver.ties_of(told, first.lead_id, at, event)
        for key, claim in ties:
            claimed[number_of(key) % shards].append((key, encode_link(claim)))
        found.merges += merges
    found.sizes = events.add(block.seq, waiting)
    found.claimed = claims.add(block.seq, claimed)
    return found
