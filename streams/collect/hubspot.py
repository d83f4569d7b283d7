"""HubSpot's webhooks: one notification about a contact to CRM events of its lead.

Source of the fields: HubSpot's public documentation of its webhooks API, in both formats
(`contact.creation`, and `object.creation` with `objectTypeId`). A retry differs in nothing but its
`attemptNumber`, so that it gives the same event ids.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.events import ERASURE_REQUESTED, CrmEvent, EpochMs, Touchpoint
from leadstream.streams.collect.hubspot_rules import LEAD_UPDATED, PropertyRule, Rules
from leadstream.streams.collect.unmapped import (
    UNMAPPED,
    WRONG_TYPE,
    UnmappedError,
    plain_text,
    text,
)
from leadstream.streams.ingest.mapping import fill_template

HUBSPOT_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream:hubspot")
LEAD_ID_FIELDS: Final = ("objectId", "portalId")
"""What the template of a lead id may name."""

_CONTACT: Final = "contact"
_OBJECT_TYPES: Final = {
    "0-1": _CONTACT, "0-2": "company", "0-3": "deal", "0-5": "ticket", "0-136": "lead",
}  # fmt: skip
_TYPE_OF_ACTION: Final = {
    "creation": "lead_created",
    # No types of leadstream's own: kept and counted, they decide nothing.
    "deletion": "lead_deleted",
    "restore": "lead_restored",
    "privacyDeletion": ERASURE_REQUESTED,
}
_TELLS_APART: Final = (
    "portalId", "subscriptionId", "eventId", "occurredAt", "subscriptionType", "eventType",
    "objectId", "propertyName", "propertyValue", "primaryObjectId", "newObjectId",
    "fromObjectId", "toObjectId", "associationType",
)  # fmt: skip
_EMAIL: Final = "email"
_NO_RULE: Final = PropertyRule()

Event = Touchpoint | CrmEvent


@dataclass(frozen=True, slots=True)
class HubspotNotifications:
    """The translation of one source.

    Args:
        lead_id: template of the lead id, over `LEAD_ID_FIELDS`.
        ignore: patterns of subscription types of which nothing is kept, e.g. `deal.*`.
    """

    rules: Rules
    lead_id: str
    ignore: tuple[str, ...] = field(default=())

    def events_of(self, told: dict[str, Any], received_at: EpochMs) -> list[Event]:
        """Return the events of one notification; none where it is ignored.

        Raises:
            UnmappedError: it is about nothing that leadstream keeps, or lacks what it needs.
        """
        kind, action = _subject(told)
        subject = f"{kind}.{action}"
        if any(fnmatchcase(subject, pattern) for pattern in self.ignore):
            return []
        if kind != _CONTACT:
            raise UnmappedError(
                UNMAPPED,
                f"{subject}: it does not say whose lead it is; end that subscription, or ignore "
                "it with `ignore:` of the source",
            )
        at = _occurred_at(told)
        if action == "merge":
            return self._merged(told, at)
        lead_id = self._lead_id(told, _id(told, _object_field(action)))
        if action == "propertyChange":
            return self._changed(told, at, lead_id)
        if action == "associationChange":
            return [self._associated(told, at, lead_id)]
        event_type = _TYPE_OF_ACTION.get(action)
        if event_type is None:
            raise UnmappedError(UNMAPPED, f"{subject}: no event is made of it")
        return [_crm(told, at, lead_id, event_type)]

    def whose(self, told: dict[str, Any]) -> str | None:
        """Return the lead that a notification seems to be about, whatever else it lacks."""
        value = told.get("objectId", told.get("primaryObjectId", told.get("fromObjectId")))
        try:
            return self._lead_id(told, _id({"objectId": value}, "objectId"))
        except UnmappedError:
            return None

    def _changed(self, told: dict[str, Any], at: EpochMs, lead_id: str) -> list[Event]:
        name = text(told.get("propertyName"), "propertyName")
        if name is None:
            raise UnmappedError(WRONG_TYPE, "propertyName: a property change names its property")
        value = plain_text(told.get("propertyValue"), "propertyValue")
        rule = self.rules.get(name, _NO_RULE)
        meant = rule.values.get(value)
        into: dict[str, Any] = {rule.into: value} if rule.into and value else {}
        if meant is not None and meant.reason is not None:
            into["reason"] = meant.reason
        event = _crm(
            told, at, lead_id, meant.type if meant else rule.type, attributes={name: value}, **into
        )
        events: list[Event] = [event]
        if name == _EMAIL and value:
            # The address joins what the person did before somebody wrote it down.
            events.append(
                Touchpoint(
                    event_id=_event_id(told, "identify"),
                    event_time=at,
                    type="identify",
                    lead_id=lead_id,
                    email=value,
                )
            )
        return events

    def _associated(self, told: dict[str, Any], at: EpochMs, lead_id: str) -> CrmEvent:
        other = plain_text(told.get("toObjectId"), "toObjectId")
        kind = plain_text(told.get("associationType"), "associationType") or "ASSOCIATION"
        removed = told.get("associationRemoved") is True
        attributes = {kind.lower(): "" if removed else other}
        return _crm(told, at, lead_id, LEAD_UPDATED, attributes=attributes)

    def _merged(self, told: dict[str, Any], at: EpochMs) -> list[Event]:
        # HubSpot may make a new record of the two; then both end in it.
        survivor = next(
            (
                told[name]
                for name in ("newObjectId", "primaryObjectId", "objectId")
                if told.get(name) is not None
            ),
            None,
        )
        gone = told.get("mergedObjectIds")
        if survivor is None or not isinstance(gone, list):
            raise UnmappedError(
                WRONG_TYPE, "a merge needs primaryObjectId and mergedObjectIds, a list"
            )
        ids = [text(part, "mergedObjectIds") for part in (told.get("primaryObjectId"), *gone)]
        lead_id = self._lead_id(told, str(survivor))
        absorbed = dict.fromkeys(part for part in ids if part and part != str(survivor))
        if not absorbed:
            raise UnmappedError(WRONG_TYPE, "mergedObjectIds: nothing is merged into another")
        return [
            _crm(told, at, lead_id, "lead_merged", part, merged_lead_id=self._lead_id(told, part))
            for part in absorbed
        ]

    def _lead_id(self, told: dict[str, Any], object_id: str) -> str:
        portal = text(told.get("portalId"), "portalId")
        return fill_template(self.lead_id, {"objectId": object_id, "portalId": portal}) or ""


def _subject(told: dict[str, Any]) -> tuple[str, str]:
    """Return what kind of object it is about, and what happened to it."""
    # The field table of the documentation calls it eventType, its payloads subscriptionType.
    subject = told.get("subscriptionType") or told.get("eventType")
    if not isinstance(subject, str) or "." not in subject:
        raise UnmappedError(WRONG_TYPE, f"subscriptionType: {subject!r} is none of HubSpot's")
    kind, _, action = subject.partition(".")
    if kind == "object":
        type_id = told.get("objectTypeId", told.get("fromObjectTypeId"))
        kind = _OBJECT_TYPES.get(str(type_id), f"object {type_id}")
    return kind, action


def _object_field(action: str) -> str:
    return "fromObjectId" if action == "associationChange" else "objectId"


def _id(told: dict[str, Any], name: str) -> str:
    value = text(told.get(name), name)
    if value is None:
        raise UnmappedError(WRONG_TYPE, f"{name}: it does not say which object it is about")
    return value


def _occurred_at(told: dict[str, Any]) -> EpochMs:
    try:
        return parse_time(told.get("occurredAt"), "occurredAt")
    except DecodeError as error:
        raise UnmappedError(WRONG_TYPE, str(error)) from None


def _crm(
    told: dict[str, Any], at: EpochMs, lead_id: str, event_type: str, suffix: str = "", **more: Any
) -> CrmEvent:
    return CrmEvent(
        event_id=_event_id(told, suffix),
        event_time=at,
        lead_id=lead_id,
        type=event_type,
        actor=text(told.get("sourceId"), "sourceId"),
        **more,
    )


def _event_id(told: dict[str, Any], suffix: str) -> str:
    """Return an id that every attempt has; `eventId` alone is not promised to be unique."""
    content = [suffix, *(told.get(name) for name in _TELLS_APART)]
    return str(uuid.uuid5(HUBSPOT_NAMESPACE, json.dumps(content, default=str)))
