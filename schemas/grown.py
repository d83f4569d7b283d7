"""Schemas that got fields at their end since a release, and how its readers are kept.

A record whose new fields are null says nothing that the released version could not: it is written
as one of that version, which is the same bytes without the nulls. So whoever knows that version
alone reads on, and records that use a new field are for those who know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from leadstream.schemas.versions import single_object_header, versions_of

NULL: Final = b"\x00"
"""The first branch of a union, which is null here."""


@dataclass(frozen=True, slots=True)
class Growth:
    """From which version a schema grew, and by which fields, in their order."""

    released: str
    fields: tuple[str, ...]


GREW: Final = {
    "transition": Growth("transition.v1", ("predicted",)),
    "sla_event": Growth("sla_event.v1", ("cancel_reason",)),
    "lead_state": Growth("lead_state.v1", ("consent", "owners", "account")),
}


def header_of(name: str, label: str) -> bytes:
    """Return what single-object encoding puts before a record of a version."""
    (schema,) = [each.schema for each in versions_of(name) if each.label == label]
    return single_object_header(schema)
