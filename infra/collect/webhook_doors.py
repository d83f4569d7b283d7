"""Takes webhooks, each source at a path of its own: HubSpot's, and those with a mapping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from leadstream.infra.collect.items import ITEMS_A_TURN, Collected, Event, Incoming, Unmapped
from leadstream.infra.collect.json_text import list_of, parsed, written
from leadstream.infra.collect.limits import Rate
from leadstream.infra.collect.refused import not_readable
from leadstream.infra.collect.segment_door import TOO_LARGE
from leadstream.infra.collect.signatures import (
    HUBSPOT_SIGNATURE,
    HUBSPOT_TIMESTAMP,
    check_hubspot,
    check_webhook,
)
from leadstream.infra.collect.sources_file import Hubspot, Webhook
from leadstream.schemas.topics import CRM_EVENTS, TOUCHPOINTS
from leadstream.streams.collect.hubspot import HubspotNotifications
from leadstream.streams.collect.mapped import MappedObjects, items_in
from leadstream.streams.collect.unmapped import WRONG_TYPE, UnmappedError

_TOPIC_OF_KIND: Final = {"touchpoint": TOUCHPOINTS, "crm": CRM_EVENTS}


class HubspotDoor:
    """One HubSpot app; raises as `SegmentDoor.collect`."""

    def __init__(self, source: Hubspot, item_max_bytes: int) -> None:
        spec = source.spec
        self._name, self._url = spec.name, spec.url
        self._secrets = [secret.get_secret_value() for secret in source.secrets]
        self._rate = Rate(spec.rate, spec.burst_events)
        self._notifications = HubspotNotifications(source.rules, spec.lead_id, spec.ignore)
        self._item_max_bytes = item_max_bytes

    async def collect(self, incoming: Incoming) -> Collected:
        check_hubspot(
            self._secrets,
            method=incoming.method,
            url=incoming.url(self._url),
            body=incoming.body,
            signature=incoming.headers.get(HUBSPOT_SIGNATURE),
            timestamp=incoming.headers.get(HUBSPOT_TIMESTAMP),
            now_ms=incoming.received_at,
        )
        items = list_of(incoming.body)
        await self._rate.admit(max(1, len(items)))
        found = Collected(self._name)
        for number, item in enumerate(items, 1):
            if number % ITEMS_A_TURN == 0:
                await asyncio.sleep(0)
            raw = bytes(item)
            told = parsed(raw)
            _take(
                found,
                CRM_EVENTS,
                raw,
                told,
                self._item_max_bytes,
                lambda told: self._notifications.events_of(told, incoming.received_at),
                self._notifications.whose,
            )
        return found


class WebhookDoor:
    """One signed webhook with a mapping; raises as `SegmentDoor.collect`."""

    def __init__(self, source: Webhook, item_max_bytes: int) -> None:
        spec = source.spec
        self._spec = spec
        self._secrets = [secret.get_secret_value() for secret in source.secrets]
        self._rate = Rate(spec.rate, spec.burst_events)
        self._objects = MappedObjects(spec.name, source.mapping)
        self._item_max_bytes = item_max_bytes

    async def collect(self, incoming: Incoming) -> Collected:
        rule = self._spec.signature
        check_webhook(
            self._secrets,
            rule,
            method=incoming.method,
            url=incoming.url(self._spec.url),
            body=incoming.body,
            signature=incoming.headers.get(rule.header),
            timestamp=incoming.headers.get(rule.timestamp_header or ""),
            now_ms=incoming.received_at,
        )
        try:
            items = items_in(parsed(incoming.body), self._spec.items)
        except UnmappedError as error:
            raise not_readable(str(error)) from None
        await self._rate.admit(max(1, len(items)))
        found = Collected(self._spec.name)
        topic = _TOPIC_OF_KIND[self._objects.kind]
        for number, told in enumerate(items, 1):
            if number % ITEMS_A_TURN == 0:
                await asyncio.sleep(0)

            def events_of(told: dict[str, Any], number: int = number) -> list[Event]:
                return self._objects.events_of(told, number)

            _take(found, topic, written(told), told, self._item_max_bytes, events_of)
        return found


def _take(
    found: Collected,
    topic: str,
    raw: bytes,
    told: Any,
    most: int,
    events_of: Callable[[dict[str, Any]], list[Event]],
    whose: Callable[[dict[str, Any]], str | None] = lambda _: None,
) -> None:
    """Add what an item gives to what was found."""
    try:
        if len(raw) > most:
            raise UnmappedError(
                TOO_LARGE, f"an item of {len(raw):,} bytes; collect_item_max_bytes allows {most:,}"
            )
        if not isinstance(told, dict):
            raise UnmappedError(WRONG_TYPE, "an item is a JSON object")
        found.events += events_of(told)
    except UnmappedError as error:
        known = whose(told) if isinstance(told, dict) else None
        found.unmapped.append(Unmapped(topic, known, raw, error.kind, str(error)))
