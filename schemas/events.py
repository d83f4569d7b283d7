"""Input events as structs: field for field the Avro schemas, times as UTC epoch milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Final

import msgspec

EARLIEST_MS: Final = -2_208_988_800_000  # 1900-01-01, what ClickHouse's DateTime64 can hold
LATEST_MS: Final = 10_413_791_999_999  # the end of 2299

EpochMs = Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]
# What Kafka has, and ClickHouse's columns hold; Avro's numbers may be larger.
KafkaPartition = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
KafkaOffset = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]


class Touchpoint(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something a lead, or an unknown visitor, did."""

    event_id: str
    event_time: EpochMs
    type: str
    sent_at: EpochMs | None = None
    received_at: EpochMs | None = None
    lead_id: str | None = None
    anonymous_id: str | None = None
    email: str | None = None
    channel: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    content: str | None = None
    term: str | None = None
    url: str | None = None
    referrer: str | None = None
    asset: str | None = None
    category: str | None = None
    properties: dict[str, str] = {}


class CrmEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something that happened to a lead in the CRM."""

    event_id: str
    event_time: EpochMs
    lead_id: str
    type: str
    actor: str | None = None
    owner: str | None = None
    reason: str | None = None
    stage: str | None = None
    opportunity_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    attributes: dict[str, str] = {}
    merged_lead_id: str | None = None


class LeadEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted event of either input under the lead that it belongs to."""

    lead_id: str
    event_id: str
    occurred_at: EpochMs
    source_topic: str = ""
    source_partition: KafkaPartition = -1
    source_offset: KafkaOffset = -1
    ingest_time: EpochMs = 0
    touchpoint: Touchpoint | None = None
    crm: CrmEvent | None = None


ERASURE_REQUESTED: Final = "erasure_requested"
"""The CRM event that erases its lead up to its own time."""

CRM_GAP: Final = "crm_gap"
"""The CRM event that says that a lead, or a whole source, changed and the change was not told."""

TOUCHPOINT_TYPES: Final = frozenset(
    """page_viewed content_downloaded form_submitted demo_requested contact_sales_requested
    trial_started product_milestone email_delivered email_opened email_clicked email_replied
    email_bounced email_unsubscribed ad_clicked webinar_registered webinar_attended event_attended
    meeting_booked meeting_held meeting_no_show call_inbound chat_started referral_received
    intent_signal identify alias""".split()
)

CRM_EVENT_TYPES: Final = frozenset(
    """lead_created lead_updated lead_owner_changed lead_accepted lead_rejected lead_qualified
    lead_recycled lead_disqualified lead_converted lead_merged lead_unmerged sales_activity_logged
    opportunity_created opportunity_stage_changed opportunity_won opportunity_lost
    opportunity_reopened feedback_submitted consent_changed erasure_requested crm_gap""".split()
)


def is_erasure(event: LeadEvent) -> bool:
    """Return whether the event asks to erase its lead."""
    return event.crm is not None and event.crm.type == ERASURE_REQUESTED


def each_once(events: Iterable[LeadEvent]) -> list[LeadEvent]:
    """Return each event once; of tellings that differ in time the earliest counts."""
    found: dict[str, LeadEvent] = {}
    for event in events:
        known = found.setdefault(event.event_id, event)
        if event.occurred_at < known.occurred_at:
            found[event.event_id] = event
    return list(found.values())


def corrected_time(event: Touchpoint | CrmEvent) -> EpochMs:
    """Return when the event happened, corrected for a skewed device clock.

    Source: DESIGN, Events: `received_at - (sent_at - event_time)`.
    """
    if isinstance(event, CrmEvent) or event.sent_at is None or event.received_at is None:
        return event.event_time
    return event.received_at - (event.sent_at - event.event_time)
