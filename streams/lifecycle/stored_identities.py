"""How whose ids are is kept in the store: fields are only added, at the end and with a default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from leadstream.streams.domain.link_records import Aliased, Merged, Place, Rooted


class StoredLinks(msgspec.Struct, array_like=True):
    """The links of an id; its merges and claims of its rank, where there are any."""

    claims: list[Place]
    rooted: Rooted | None
    is_lead: bool
    aliased: Aliased | None = None
    is_crowd: bool = False


class StoredMerge(msgspec.Struct, array_like=True):
    """The latest merge of an id, and what was said because of all of them."""

    merge: Merged
    said: Rooted | None


class StoredAlike(msgspec.Struct, array_like=True):
    """The words on a key by others of its rank, and what was said because of them."""

    words: list[Place]
    said: Aliased


encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode
decode_links: Final = msgspec.msgpack.Decoder(StoredLinks).decode
decode_merge: Final = msgspec.msgpack.Decoder(StoredMerge).decode
decode_alike: Final = msgspec.msgpack.Decoder(StoredAlike).decode
