"""Segment's tracking protocol: one message of any method to one touchpoint.

Source of the fields: Segment's public specification, "Spec: Common Fields" and the page of each
method. Addresses of the network (`context.ip`) and user agents are not kept.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.events import EpochMs, Touchpoint
from leadstream.streams.collect.channels import PAGES_REMEMBERED, channel_of
from leadstream.streams.collect.segment_names import EventNames
from leadstream.streams.collect.unmapped import (
    NO_IDENTITY,
    UNMAPPED,
    WRONG_TYPE,
    UnmappedError,
    part,
    plain_text,
    text,
)
from leadstream.streams.ingest.mapping import fill_template, template_columns
from leadstream.streams.ingest.readers import Row

METHODS: Final = ("track", "identify", "page", "screen", "group", "alias")
MESSAGE_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream:segment-message")

_LIFTED: Final = frozenset({"url", "referrer"})
"""Properties that are fields of the touchpoint, and not kept twice."""
_ASSET: Final = ("asset", "name", "title")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class SegmentMessages:
    """The translation of one source.

    Args:
        lead_id: template of the lead id, over fields of the message; empty where they are.
    """

    def __init__(self, source: str, names: EventNames, lead_id: str) -> None:
        self.source = source
        self._names = names
        self._template = lead_id
        self._columns = template_columns(lead_id)
        self._is_one_field = lead_id == f"{{{self._columns[0]}}}"

    def touchpoint_of(
        self, message: dict[str, Any], *, sent_at: Any, received_at: EpochMs
    ) -> Touchpoint:
        """Return what a message says.

        Args:
            sent_at: of the batch, for a message that does not say it.
            received_at: by our clock.

        Raises:
            UnmappedError: it is no message of the protocol, or names nobody.
        """
        method = message.get("type")
        if method not in METHODS:
            raise UnmappedError(
                UNMAPPED, f"type: {method!r} is none of Segment's methods ({', '.join(METHODS)})"
            )
        happened, sent, received = _times(message, sent_at, received_at)
        context = part(message, "context")
        page, campaign = part(context, "page"), part(context, "campaign")
        told = part(message, "traits" if method in ("identify", "group") else "properties")
        url = text(told.get("url"), "url") or text(page.get("url"), "context.page.url")
        referrer = _referrer(method, told, page)
        medium = text(campaign.get("medium"), "context.campaign.medium")
        kind, asset, category = self._what(method, message, told, url)
        lead_id = self._lead_id(message)
        anonymous_id = text(message.get("anonymousId"), "anonymousId")
        email = _email(method, message, context)
        if not (lead_id or anonymous_id or email):
            raise UnmappedError(NO_IDENTITY, "it has neither userId nor anonymousId: whose is it?")
        return Touchpoint(
            event_id=_event_id(self.source, message),
            event_time=happened,
            sent_at=sent,
            received_at=received,
            type=kind,
            lead_id=lead_id,
            anonymous_id=anonymous_id,
            email=email,
            channel=channel_of(medium, url, referrer),
            source=text(campaign.get("source"), "context.campaign.source"),
            medium=medium,
            campaign=text(campaign.get("name"), "context.campaign.name"),
            content=text(campaign.get("content"), "context.campaign.content"),
            term=text(campaign.get("term"), "context.campaign.term"),
            url=url,
            referrer=referrer or None,
            asset=asset,
            category=category,
            properties=_properties(method, message, told, context),
        )

    def whose(self, message: dict[str, Any]) -> str | None:
        """Return the lead or visitor that a message seems to be of, whatever else it lacks."""
        try:
            return self._lead_id(message) or text(message.get("anonymousId"), "anonymousId")
        except UnmappedError:
            return None

    def _what(
        self, method: str, message: dict[str, Any], told: dict[str, Any], url: str | None
    ) -> tuple[str, str | None, str | None]:
        """Return type, asset and category."""
        if method == "track":
            name = text(message.get("event"), "event")
            if name is None:
                raise UnmappedError(UNMAPPED, "event: a track call names its event")
            asset = next((found for key in _ASSET if (found := _named(told, key))), None)
            return self._names.type_of(name), asset, _named(told, "category")
        if method in ("page", "screen"):
            name = text(message.get("name"), "name") or _named(told, "name")
            category = text(message.get("category"), "category") or _named(told, "category")
            path = _named(told, "path") or _path(url)
            return "page_viewed", name or path, category or _first_segment(path)
        return method, None, None

    def _lead_id(self, message: dict[str, Any]) -> str | None:
        row = Row(self.source, 1, message)
        texts = {column: text(row.get(column), column) for column in self._columns}
        if self._is_one_field:
            return texts[self._columns[0]]
        return fill_template(self._template, texts)


def _times(
    message: dict[str, Any], sent_at: Any, received_at: EpochMs
) -> tuple[EpochMs, EpochMs | None, EpochMs]:
    """Return when it happened and was sent by the device's clock, and was received by ours."""
    original = message.get("originalTimestamp")
    if original is not None and message.get("receivedAt") is not None:
        # Segment itself hands it on: its `timestamp` is corrected already, and its servers' clock
        # is what the device's was compared with.
        received_at = _time(message["receivedAt"], "receivedAt")
    told = original if original is not None else message.get("timestamp")
    sent: EpochMs | None = None
    given = message.get("sentAt") if message.get("sentAt") is not None else sent_at
    if given is not None:
        try:
            sent = _time(given, "sentAt")
        except UnmappedError:
            sent = None  # it only corrects the device's clock
    if told is None:
        return received_at, None, received_at
    return _time(told, "timestamp"), sent, received_at


def _time(value: Any, field: str) -> EpochMs:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            value = (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // _MILLISECOND
        return parse_time(value, field)
    except (DecodeError, ValueError, OverflowError):
        raise UnmappedError(WRONG_TYPE, f"{field}: {value!r} is not a time in ISO 8601") from None


def _event_id(source: str, message: dict[str, Any]) -> str:
    given = text(message.get("messageId"), "messageId")
    if given is not None:
        return given
    if message.get("timestamp") is None:
        return str(uuid.uuid4())  # nothing tells it from the next one that is alike
    content = json.dumps([source, message], sort_keys=True, default=str)
    return str(uuid.uuid5(MESSAGE_NAMESPACE, content))


def _email(method: str, message: dict[str, Any], context: dict[str, Any]) -> str | None:
    # The traits of a group are the company's.
    own = {} if method == "group" else part(message, "traits")
    return _named(own, "email") or _named(part(context, "traits"), "email")


def _referrer(method: str, told: dict[str, Any], page: dict[str, Any]) -> str | None:
    """Return what led to the page: empty where nothing did, None where nobody says."""
    for place in (told, page):
        if isinstance(place.get("referrer"), str):
            # On other calls an empty one says nothing of how the visit began.
            return _named(place, "referrer") or ("" if method == "page" else None)
    return None


def _properties(
    method: str, message: dict[str, Any], told: dict[str, Any], context: dict[str, Any]
) -> dict[str, str]:
    found = {
        plain_text(key, "a name"): plain_text(value, key)
        for key, value in told.items()
        if value is not None and key not in _LIFTED
    }
    if method == "identify":
        found = _facts(told) | found
    if method == "screen" and message.get("name") is not None:
        found["screen"] = plain_text(message["name"], "name")
    group = message.get("groupId") if method == "group" else context.get("groupId")
    if group is not None:
        found["group_id"] = plain_text(group, "groupId")
    elif method == "group":
        raise UnmappedError(UNMAPPED, "groupId: a group call names its group")
    if method == "alias":
        previous = text(message.get("previousId"), "previousId")
        if previous is None:
            raise UnmappedError(UNMAPPED, "previousId: an alias call names the id before")
        found["previous_id"] = previous
    return found


def _facts(traits: dict[str, Any]) -> dict[str, str]:
    """Return what Segment nests of a person, under the names that fit rules read."""
    company, address = traits.get("company"), traits.get("address")
    found: dict[str, Any] = {}
    if isinstance(company, dict):
        found |= {"industry": company.get("industry"), "employees": company.get("employee_count")}
    if isinstance(address, dict):
        found["country"] = address.get("country")
    return {key: plain_text(value, key) for key, value in found.items() if value is not None}


def _named(told: dict[str, Any], name: str) -> str | None:
    """Return a text by its name; None where something else stands there."""
    value = told.get(name)
    return text(value, name) if isinstance(value, str) else None


@lru_cache(PAGES_REMEMBERED)
def _path(url: str | None) -> str | None:
    try:
        return urlsplit(url).path or None if url else None
    except ValueError:
        return None


def _first_segment(path: str | None) -> str | None:
    """Return the part of the site that a page lies in, e.g. `pricing` of /pricing/teams."""
    return next((segment for segment in (path or "").split("/") if segment), None)
