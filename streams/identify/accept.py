"""From an input event to its places in `lead.events`: corrected time, lead, origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import (
    EARLIEST_MS,
    LATEST_MS,
    CrmEvent,
    EpochMs,
    LeadEvent,
    Touchpoint,
    corrected_time,
)
from leadstream.streams.identify.resolver import Resolver

ID_MAX_CHARS: Final = 512
TEXT_MAX_CHARS: Final = 2048
"""Longer ones would make a lead's state, and what is said of it, larger than a topic takes."""
_IDS: Final = ("event_id", "lead_id")
_TOUCHPOINT_TEXTS: Final = (
    "anonymous_id email type channel source medium campaign content term asset category".split()
)
_CRM_TEXTS: Final = "type actor owner reason stage opportunity_id currency merged_lead_id".split()


def accept(
    event: Touchpoint | CrmEvent,
    resolver: Resolver,
    *,
    topic: str = "",
    partition: int = -1,
    offset: int = -1,
    ingest_time: EpochMs = 0,
    size: int | None = None,
    stated: Touchpoint | CrmEvent | None = None,
) -> list[LeadEvent]:
    """Return the event under every lead that it belongs to.

    Args:
        size: of the record that it was read from, bytes; no text has more characters than that.
        stated: the event with its addresses in the clear, where those of `event` are hidden.
    Raises:
        DecodeError: nobody is named, the id is empty, a text is too long, or the time is out of
            range.
    """
    if not event.event_id.strip():
        raise DecodeError("no_event_id", "event_id is empty: give each event a unique id")
    if size is None or size > ID_MAX_CHARS:
        _check_lengths(event, _IDS, ID_MAX_CHARS)
        texts = _TOUCHPOINT_TEXTS if isinstance(event, Touchpoint) else _CRM_TEXTS
        _check_lengths(event, texts, TEXT_MAX_CHARS)
    occurred_at = corrected_time(event)
    if not EARLIEST_MS <= occurred_at <= LATEST_MS:
        raise DecodeError(
            "time_out_of_range",
            f"event {event.event_id} happened at {occurred_at} ms, outside the years 1900 to 2299: "
            "check event_time, sent_at and received_at",
        )
    lead_ids = resolver.leads_of(event, stated)
    if not lead_ids:
        raise DecodeError(
            "no_identity",
            f"event {event.event_id} names nobody: set lead_id, email or anonymous_id",
        )
    touchpoint = event if isinstance(event, Touchpoint) else None
    crm = event if isinstance(event, CrmEvent) else None
    return [
        LeadEvent(
            lead_id=lead_id,
            event_id=event.event_id,
            occurred_at=occurred_at,
            source_topic=topic,
            source_partition=partition,
            source_offset=offset,
            ingest_time=ingest_time,
            touchpoint=touchpoint,
            crm=crm,
        )
        for lead_id in lead_ids
    ]


def _check_lengths(event: Touchpoint | CrmEvent, names: Sequence[str], most: int) -> None:
    for name in names:
        text = getattr(event, name)
        if text is not None and len(text) > most:
            raise DecodeError(
                "text_too_long",
                f"event {event.event_id[:40]}: {name} has {len(text)} characters, more than "
                f"{most}: put long texts into properties or attributes",
            )
