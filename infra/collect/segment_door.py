"""Takes Segment's tracking protocol: who sends, and what of it becomes events."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from leadstream.infra.collect.items import ITEMS_A_TURN, Collected, Incoming, Unmapped
from leadstream.infra.collect.json_text import parsed, parsed_as
from leadstream.infra.collect.limits import Rate
from leadstream.infra.collect.refused import RefusedError, not_readable
from leadstream.infra.collect.signatures import fingerprint
from leadstream.infra.collect.sources_file import Segment
from leadstream.schemas.topics import TOUCHPOINTS
from leadstream.streams.collect.segment import METHODS, SegmentMessages
from leadstream.streams.collect.unmapped import WRONG_TYPE, UnmappedError

BATCH: Final = "batch"
METHOD_OF_PATH: Final = {
    **{method: method for method in (*METHODS, BATCH)},
    # What Segment's browser library calls them.
    **{"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"},
    "b": BATCH,
}
TOO_LARGE: Final = "item_too_large"


class _Batch(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    write_key: str | None = None
    sent_at: Any = None
    context: dict[str, Any] | None = None


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: str | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    messages: SegmentMessages
    rate: Rate


class SegmentDoor:
    """All Segment sources: the write key says which one.

    Args:
        item_max_bytes: a larger message goes to the dead letters.
    """

    def __init__(self, sources: tuple[Segment, ...], item_max_bytes: int) -> None:
        self._item_max_bytes = item_max_bytes
        self._keys: dict[bytes, _Key] = {}
        for source in sources:
            spec = source.spec
            messages = SegmentMessages(spec.name, source.names, spec.lead_id)
            for key in source.keys:
                rate = Rate(spec.rate, spec.burst_events)
                self._keys[fingerprint(key.get_secret_value())] = _Key(messages, rate)

    async def collect(self, incoming: Incoming, method: str) -> Collected:
        """Return what a call brings.

        Raises:
            RefusedError: nobody's write key, no call of the protocol, or too many.
        """
        if method == BATCH:
            batch = parsed_as(incoming.body, _Batch)
            key = self._key(incoming, batch.write_key)
            await key.rate.admit(max(1, len(batch.batch)))
            return await self._all(key, batch.batch, None, batch.sent_at, batch.context, incoming)
        key = self._key(incoming, parsed_as(incoming.body, _Keyed).write_key)
        await key.rate.admit(1)
        return await self._all(key, [msgspec.Raw(incoming.body)], method, None, None, incoming)

    def _key(self, incoming: Incoming, written: str | None) -> _Key:
        given = _basic_user(incoming.headers.get("Authorization", "")) or written
        if not given:
            raise RefusedError(
                401,
                "no_write_key",
                "a write key is demanded: as the user of HTTP basic authentication, or as "
                "`writeKey` in the body",
            )
        found = self._keys.get(fingerprint(given))
        if found is None:
            raise RefusedError(
                401, "unknown_write_key", "no source has this write key: check `write_keys`"
            )
        return found

    async def _all(
        self,
        key: _Key,
        items: list[msgspec.Raw],
        method: str | None,
        sent_at: Any,
        context: dict[str, Any] | None,
        incoming: Incoming,
    ) -> Collected:
        found = Collected(key.messages.source)
        for number, item in enumerate(items, 1):
            if number % ITEMS_A_TURN == 0:
                await asyncio.sleep(0)
            raw = bytes(item)
            message: Any = None
            try:
                if len(raw) > self._item_max_bytes:
                    raise UnmappedError(
                        TOO_LARGE,
                        f"a message of {len(raw):,} bytes; collect_item_max_bytes allows "
                        f"{self._item_max_bytes:,}",
                    )
                message = parsed(raw)
                if not isinstance(message, dict):
                    raise UnmappedError(WRONG_TYPE, "a message is a JSON object")
                found.events.append(
                    key.messages.touchpoint_of(
                        _completed(message, method, context),
                        sent_at=sent_at,
                        received_at=incoming.received_at,
                    )
                )
            except UnmappedError as error:
                whose = key.messages.whose(message) if isinstance(message, dict) else None
                found.unmapped.append(Unmapped(TOUCHPOINTS, whose, raw, error.kind, str(error)))
        return found


def _completed(
    message: dict[str, Any], method: str | None, context: dict[str, Any] | None
) -> dict[str, Any]:
    """Return a message with what the call says of it."""
    complete = {**message, "type": method} if method else dict(message)
    complete.pop("writeKey", None)  # a secret, and no part of the event
    own = complete.get("context")
    if context and (own is None or isinstance(own, dict)):
        complete["context"] = {**context, **(own or {})}
    return complete


def _basic_user(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise not_readable("Authorization: basic authentication is base64 of KEY:") from None
