"""Which dead letters are a person's: by key, by what can be read, else by the ids in the bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from leadstream.schemas.addresses import HIDDEN, AddressHider
from leadstream.schemas.codec import DecodeError, Decoder, WriterSchemas
from leadstream.schemas.dead_letters import Letter
from leadstream.schemas.events import CrmEvent, EpochMs, LeadEvent, Touchpoint
from leadstream.schemas.headers import content_type_of
from leadstream.schemas.topics import SCHEMA_OF, TOUCHPOINTS
from leadstream.streams.domain.identity import (
    ANONYMOUS_PREFIX,
    lead_of_anonymous,
    lead_of_email,
    other_ids_in,
)

# Bounded, so that no bytes make it slow; what surrounds an address in binary data is no letter.
_EMAIL: Final = re.compile(rb"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,255}")
_HIDDEN: Final = re.compile(HIDDEN.pattern.encode())
_EMAIL_STARTS_MAX: Final = 8
"""In Avro the length of a text stands before it and may look like one letter more of it."""
_ID_BYTES: Final = rb"A-Za-z0-9_.@:\-"


def letters_of(
    leads: Collection[str],
    until: EpochMs,
    schemas: WriterSchemas,
    hider: AddressHider | None = None,
) -> Callable[[Letter], bool]:
    """Return what says of a letter whether it is of these leads and was written up to `until`.

    Args:
        hider: letters from before there was a key have addresses in the clear, and later ones
            what stands for them.
    """
    decoders = {topic: Decoder(name, schemas) for topic, name in SCHEMA_OF.items()}
    wanted = frozenset(leads)
    spelled = [_spelling(lead_id.removeprefix(ANONYMOUS_PREFIX)) for lead_id in wanted]

    def belongs(letter: Letter) -> bool:
        written_at = letter.failed_at if letter.written_at is None else letter.written_at
        if written_at > until:
            return False
        if not wanted.isdisjoint(_leads_of_key(letter)):
            return True
        decoder = decoders.get(letter.topic)
        try:
            if decoder is not None:
                content_type = content_type_of(letter.headers)
                told = decoder.decode(letter.value, content_type)
                return not wanted.isdisjoint(_leads_of(told, hider))
        except DecodeError:
            pass
        value = letter.value or b""
        return any(pattern.search(value) for pattern in spelled) or not wanted.isdisjoint(
            _leads_of_addresses(value, hider)
        )

    return belongs


def _leads_of_key(letter: Letter) -> set[str]:
    key = (letter.key or b"").decode("utf-8", "replace").strip()
    return {key, lead_of_anonymous(key)} if letter.topic == TOUCHPOINTS else {key}


def _leads_of(
    event: Touchpoint | CrmEvent | LeadEvent, hider: AddressHider | None = None
) -> set[str]:
    if isinstance(event, LeadEvent):
        return {event.lead_id, *other_ids_in(event)}
    if hider is not None:
        return _leads_of(event) | _leads_of(hider.event(event))
    lead_id = (event.lead_id or "").strip()
    touch = event if isinstance(event, Touchpoint) else None
    crm = event if isinstance(event, CrmEvent) else None
    told = LeadEvent(lead_id="", event_id="", occurred_at=0, touchpoint=touch, crm=crm)
    return {lead_id, *other_ids_in(told)}


def _spelling(lead_id: str) -> re.Pattern[bytes]:
    """Return what finds the id as a whole word, or behind its length as Avro writes it."""
    text = lead_id.encode()
    word = rb"(?<![" + _ID_BYTES + rb"])" + re.escape(text) + rb"(?![" + _ID_BYTES + rb"])"
    return re.compile(word + rb"|" + re.escape(_avro_length(len(text)) + text))


def _avro_length(length: int) -> bytes:
    left, found = length << 1, bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _leads_of_addresses(value: bytes, hider: AddressHider | None) -> set[str]:
    found = set(_addresses_in(value))
    if hider is not None:
        found |= {hider.address(address) for address in found}
    found |= {told.decode() for told in _HIDDEN.findall(value)}
    return {lead_of_email(address) for address in found}


def _addresses_in(value: bytes) -> Iterator[str]:
    for found in _EMAIL.findall(value):
        address = found.decode().rstrip(".-")
        local, _, domain = address.partition("@")
        # The bytes around it may look like letters of it: every shorter form is tried, too.
        for start in range(min(len(local), _EMAIL_STARTS_MAX)):
            for end in range(len(domain), max(0, len(domain) - _EMAIL_STARTS_MAX), -1):
                yield f"{local[start:]}@{domain[:end]}"
