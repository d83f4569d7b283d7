"""What processors tell each other about identities and accounts: internal records, keyed by the id
or the account that they go to.

They are kept by place, with a tag that names the kind: fields are only ever added, at the end and
with a default.
"""

from __future__ import annotations

from typing import Final

import msgspec

from leadstream.streams.domain.kept import Standing, TailEvent
from leadstream.streams.domain.state_parts import EpochMs

Place = tuple[EpochMs, str, str]
"""Instant, event and claimant, in the order in which claims count."""


class Merged(msgspec.Struct, tag="merged", array_like=True, frozen=True, gc=False):
    """Somebody said that an id is another lead's now, or its own again.

    Attributes:
        survivor: None: it is its own again.
        is_told: the id has the event among its own.
    """

    merged: str
    survivor: str | None
    at: EpochMs
    event_id: str
    is_told: bool = True


class Alike(msgspec.Struct, tag="alike", array_like=True, frozen=True, gc=False):
    """An event stated a key together with another of its rank, to which it belongs from then on."""

    key: str
    owner: str
    at: EpochMs
    event_id: str


class Claimed(msgspec.Struct, tag="claimed", array_like=True, frozen=True, gc=False):
    """An event stated a key together with a stronger id, which claims it."""

    owner: str
    at: EpochMs
    event_id: str


class Aliased(msgspec.Struct, tag="aliased", array_like=True, frozen=True, gc=False):
    """All claims on a key by others of its rank that count.

    Attributes:
        version: grows with each word on this key.
    """

    version: int
    claims: list[Place]


class Rooted(msgspec.Struct, tag="rooted", array_like=True, frozen=True, gc=False):
    """What all merges come to for one id.

    Attributes:
        root: the lead that is left, perhaps the id itself.
        version: grows with each word on this id.
        at: when the merge happened that took the id away; or, of a root that had been merged
            itself, when the merge that gave it back.
        event_id: of that merge.
        is_back: it had been merged itself.
        is_told: the id has the event of that merge among its own.
    """

    root: str
    version: int
    at: EpochMs
    event_id: str
    is_back: bool = False
    is_told: bool = True


class Moved(msgspec.Struct, tag="moved", array_like=True, frozen=True, gc=False):
    """Events of another id that belong to this one."""

    source: str
    events: list[TailEvent]


class Withdrawn(msgspec.Struct, tag="withdrawn", array_like=True, frozen=True, gc=False):
    """Ids of events that another id gave, and that belong here no more."""

    source: str
    event_ids: list[str]


class Stood(msgspec.Struct, tag="stood", array_like=True, frozen=True, gc=False):
    """How a lead stands from an instant on, told to the account that it is in, or has left."""

    standing: Standing


class Unsaid(msgspec.Struct, tag="unsaid", array_like=True, frozen=True, gc=False):
    """A standing that does not hold."""

    lead_id: str
    id: str


class Forgotten(msgspec.Struct, tag="forgotten", array_like=True, frozen=True, gc=False):
    """A lead that was erased: nothing that was said of it holds."""

    lead_id: str


Link = Claimed | Aliased | Rooted | Moved | Withdrawn
AccountLink = Stood | Unsaid | Forgotten
Merging = Merged | Alike
"""What goes to the one partition that knows all of its kind."""
_encode: Final = msgspec.msgpack.Encoder().encode
_links: Final[msgspec.msgpack.Decoder[Link]] = msgspec.msgpack.Decoder(Link)
_account_links: Final[msgspec.msgpack.Decoder[AccountLink]] = msgspec.msgpack.Decoder(AccountLink)
_merges: Final[msgspec.msgpack.Decoder[Merging]] = msgspec.msgpack.Decoder(Merging)


def encode_link(link: Link | AccountLink | Merging) -> bytes:
    """Return a record's value."""
    return _encode(link)


def decode_link(value: bytes) -> Link:
    """Return what a record says; raises `msgspec.DecodeError` where it says nothing known."""
    return _links.decode(value)


def decode_account_link(value: bytes) -> AccountLink:
    """Return what a record tells an account; raises as `decode_link`."""
    return _account_links.decode(value)


def decode_merge(value: bytes) -> Merging:
    """Return what a record says of a merge; raises as `decode_link`."""
    return _merges.decode(value)
