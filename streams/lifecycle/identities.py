"""What one partition keeps beside its leads' records: whose ids are, settled pasts, all merges."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import zstandard

from leadstream.streams.domain.alias_graph import UNALIASED, AliasGraph
from leadstream.streams.domain.link_records import (
    Aliased,
    Alike,
    Merging,
    Rooted,
)
from leadstream.streams.domain.links import UNROOTED, Links
from leadstream.streams.domain.merge_graph import MergeGraph
from leadstream.streams.domain.record import LeadRecord, lose_past
from leadstream.streams.engine.processor import BatchResult
from leadstream.streams.lifecycle.stored_identities import (
    StoredAlike,
    StoredLinks,
    StoredMerge,
    decode_alike,
    decode_links,
    decode_merge,
    encode,
)

LINKS_KEY: Final = b"\x00links:"
PAST_KEY: Final = b"\x00past:"
MERGE_KEY: Final = b"\x00merge:"
ALIKE_KEY: Final = b"\x00alike:"
_NUMBER: Final = struct.Struct(">I")
_LEVEL: Final = 3


class Identities:
    """The links of ids, the chunks of leads' pasts and, in one partition, the graph of merges."""

    def __init__(self) -> None:
        self._links: dict[bytes, bytes] = {}
        self._past: dict[bytes, dict[int, bytes]] = {}
        self._graph = MergeGraph()
        self._aliases = AliasGraph()
        self._packer = zstandard.ZstdCompressor(level=_LEVEL)
        self._unpacker = zstandard.ZstdDecompressor()

    def restore(self, key: bytes, value: bytes | None) -> bool:
        """Take a store record; False where it is none of these."""
        if key.startswith(LINKS_KEY):
            self._keep_links(key.removeprefix(LINKS_KEY), value)
        elif key.startswith(PAST_KEY):
            place = len(PAST_KEY)
            (number,) = _NUMBER.unpack_from(key, place)
            self._keep_chunk(key[place + _NUMBER.size :], number, value)
        elif key.startswith(MERGE_KEY):
            if value is not None:
                stored = decode_merge(value)
                self._graph.restore(stored.merge, stored.said)
        elif key.startswith(ALIKE_KEY):
            if value is not None:
                alike = decode_alike(value)
                found = key.removeprefix(ALIKE_KEY).decode()
                self._aliases.restore(found, alike.words, alike.said)
        else:
            return False
        return True

    def links_of(self, key: bytes) -> Links | None:
        """Return whose an id is; None where nobody but itself ever had it."""
        value = self._links.get(key)
        if value is None:
            return None
        stored = decode_links(value)
        return Links(
            stored.claims,
            stored.rooted or UNROOTED,
            is_lead=stored.is_lead,
            aliased=stored.aliased or UNALIASED,
            is_crowd=stored.is_crowd,
        )

    def keep_links(self, key: bytes, links: Links, result: BatchResult) -> None:
        """Keep whose an id is."""
        rooted = None if links.rooted is UNROOTED else links.rooted
        aliased = links.aliased if links.aliased.version >= 0 else None
        value = encode(StoredLinks(links.stated, rooted, links.is_lead, aliased, links.is_crowd))
        self._keep_links(key, value)
        result.store[LINKS_KEY + key] = value

    def past_of(self, key: bytes) -> Iterator[bytes]:
        """Give the chunks of a lead's settled past, in their order."""
        for _, packed in sorted(self._past.get(key, {}).items()):
            yield self._unpacker.decompress(packed)

    def keep_past(self, key: bytes, record: LeadRecord, result: BatchResult) -> None:
        """Keep what has settled since, and nothing that must be folded again; then the record."""
        if not record.settling and key not in self._past:
            return
        kept = self._past.get(key, {})
        for number in [n for n in kept if n >= record.chunks]:
            self._keep_chunk(key, number, None)
            result.store[past_key(key, number)] = None
        for chunk in record.settling:
            packed = self._packer.compress(chunk)
            self._keep_chunk(key, record.chunks, packed)
            result.store[past_key(key, record.chunks)] = packed
            record.chunks += 1
        record.settling = []

    def merge(self, merge: Merging, result: BatchResult) -> Mapping[str, Rooted | Aliased]:
        """Take a merge into its graph; return what is to be said of which ids."""
        if isinstance(merge, Alike):
            return self._alias(merge, result)
        news = self._graph.add(merge)
        for lead_id, rooted in news.items():
            stored = StoredMerge(self._graph.latest_of(lead_id), rooted)
            result.store[MERGE_KEY + lead_id.encode()] = encode(stored)
        if merge.merged not in news and self._graph.holds(merge):
            stored = StoredMerge(merge, self._graph.said_of(merge.merged))
            result.store[MERGE_KEY + merge.merged.encode()] = encode(stored)
        return news

    def _alias(self, alike: Alike, result: BatchResult) -> dict[str, Aliased]:
        news = self._aliases.add(alike)
        for key in {alike.key, *news}:
            stored = StoredAlike(self._aliases.words_of(key), self._aliases.said_of(key))
            result.store[ALIKE_KEY + key.encode()] = encode(stored)
        return news

    def _keep_links(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._links.pop(key, None)
        else:
            self._links[key] = value

    def _keep_chunk(self, key: bytes, number: int, packed: bytes | None) -> None:
        if packed is not None:
            self._past.setdefault(key, {})[number] = packed
            return
        chunks = self._past.get(key)
        if chunks is not None:
            chunks.pop(number, None)
            if not chunks:
                del self._past[key]


def forget_past(record: LeadRecord) -> None:
    """Keep no past, as where the store's format has no place for it."""
    if record.settling:
        lose_past(record)


def past_key(key: bytes, number: int) -> bytes:
    """Return where a chunk of a lead's settled past is kept."""
    return PAST_KEY + _NUMBER.pack(number) + key
