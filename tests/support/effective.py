"""What holds, as consumers of the topics work it out: the highest revision of each id."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from leadstream.schemas.decisions import RETRACTED

EMISSION_FIELDS = ("revision", "status", "supersedes")


def effective(decisions: Iterable[Any]) -> list[dict[str, Any]]:
    """Return what holds in (time, id) order, without what depends on the order of arrival."""
    latest: dict[str, Any] = {}
    for decision in decisions:
        known = latest.get(decision.id)
        if known is None or decision.revision > known.revision:
            latest[decision.id] = decision
    held = [d for d in latest.values() if d.status != RETRACTED]
    return [content(d) for d in sorted(held, key=lambda d: (d.occurred_at, d.id))]


def latest_states(states: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the state of each lead with the highest revision, without that revision."""
    latest: dict[str, Any] = {}
    for state in states:
        if state.lead_id not in latest or state.revision > latest[state.lead_id].revision:
            latest[state.lead_id] = state
    return {lead_id: content(state) for lead_id, state in latest.items()}


def content(struct: msgspec.Struct) -> dict[str, Any]:
    """Return a decision or state as plain data, without what depends on the order of arrival."""
    plain: dict[str, Any] = msgspec.to_builtins(struct, builtin_types=(Decimal,))
    for field in EMISSION_FIELDS:
        plain.pop(field, None)
    if plain.get("owners") == []:
        plain["owners"] = None  # its own again, or never another's: that depends on what came first
    return plain
