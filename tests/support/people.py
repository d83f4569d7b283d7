"""Who is who in a log, by brute force: union-find, sorted lists and nothing kept; an oracle.

It shares no code with the processors but how an event is accepted and how ids are derived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from leadstream.schemas.events import CrmEvent, EpochMs, LeadEvent, Touchpoint, corrected_time
from leadstream.streams.domain.identity import lead_of_anonymous, lead_of_email
from leadstream.streams.domain.identity_rules import IDENTIFYING
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity

Event = Touchpoint | CrmEvent


@dataclass
class People:
    """What a log comes to.

    Attributes:
        events: of each id that stands for itself, all that belongs to it.
        absorbed: ids with events of their own that do not stand for themselves, and know it.
    """

    events: dict[str, list[LeadEvent]] = field(default_factory=dict)
    absorbed: set[str] = field(default_factory=set)


def people_of(log: list[Event], erased: Mapping[str, EpochMs] | None = None) -> People:
    """Return who is who in a log, of whose ids some are erased up to an instant."""
    erased = erased or {}
    own: defaultdict[str, list[LeadEvent]] = defaultdict(list)
    for event in log:
        for lead_event in accept(event, StatedIdentity()):
            if _is_kept(lead_event.lead_id, lead_event.occurred_at, erased):
                own[lead_event.lead_id].append(lead_event)
    stated = {
        key
        for event in log
        for key in _stated(event)
        if _is_kept(key, corrected_time(event), erased)
    }
    claims = _claims(log, stated, erased)
    roots, backs, merged_at = _roots(log)
    found = People()
    for lead_id, events in own.items():
        for event in events:
            at = lead_id
            while (next_id := _next(at, event.occurred_at, claims, roots)) != at:
                at = next_id
                if not _is_kept(at, event.occurred_at, erased):
                    break
            else:
                found.events.setdefault(at, []).append(event)
        if roots.get(lead_id, lead_id) != lead_id:
            if _is_kept(lead_id, merged_at[lead_id], erased):
                found.absorbed.add(lead_id)
        elif lead_id in claims:
            found.absorbed.add(lead_id)
    for lead_id, back in backs.items():
        if lead_id in found.events and _is_kept(lead_id, back.occurred_at, erased):
            found.events[lead_id].append(back)
    return found


def _is_kept(lead_id: str, at: EpochMs, erased: Mapping[str, EpochMs]) -> bool:
    return lead_id not in erased or at > erased[lead_id]


def _next(
    lead_id: str,
    at: EpochMs,
    claims: dict[str, list[tuple[EpochMs, str, str]]],
    roots: dict[str, str],
) -> str:
    root = roots.get(lead_id, lead_id)
    if root != lead_id or lead_id not in claims:
        return root
    ordered = sorted(claims[lead_id])
    owner = ordered[0][2]
    for when, _, claimant in ordered:
        if when <= at:
            owner = claimant
    return owner


def _stated(event: Event) -> list[str]:
    if isinstance(event, CrmEvent) and event.type in ("lead_merged", "lead_unmerged"):
        return [each for each in (event.lead_id, event.merged_lead_id) if each]
    return [event.lead_id] if event.lead_id else []


def _claims(
    log: list[Event], stated: set[str], erased: Mapping[str, EpochMs]
) -> dict[str, list[tuple[EpochMs, str, str]]]:
    told: list[tuple[EpochMs, str, str, str]] = []
    alike: list[tuple[EpochMs, str, str, str]] = []
    for event in log:
        if event.type in IDENTIFYING:
            ids = _ids_in(event)
            for kind, key in ids[1:]:
                word = (corrected_time(event), event.event_id, ids[0][1], key)
                if key != ids[0][1]:
                    (alike if kind == ids[0][0] else told).append(word)
    claims: defaultdict[str, list[tuple[EpochMs, str, str]]] = defaultdict(list)
    for at, event_id, owner, key in (*told, *_without_circles(alike)):
        if key not in stated and _is_kept(key, at, erased):
            claims[key].append((at, event_id, owner))
    return dict(claims)


def _ids_in(event: Event) -> list[tuple[str, str]]:
    """Return the kinds and ids that an event states, the strongest first."""
    ids = [("lead", event.lead_id)] if event.lead_id else []
    if isinstance(event, CrmEvent):
        if email := event.attributes.get("email"):
            ids.append(("address", lead_of_email(email)))
        return ids
    for email in (event.email, event.properties.get("email")):
        if email:
            ids.append(("address", lead_of_email(email)))
    if event.anonymous_id:
        ids.append(("visitor", lead_of_anonymous(event.anonymous_id)))
    if event.type == "alias" and (previous := event.properties.get("previous_id")):
        ids.append(("visitor", lead_of_anonymous(previous)))
    return ids


def _without_circles(
    words: list[tuple[EpochMs, str, str, str]],
) -> list[tuple[EpochMs, str, str, str]]:
    """Return the words in their order without those whose owner is the key's already."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    found = []
    for word in sorted(set(words)):
        _, _, owner, key = word
        if key not in owners[owner]:
            found.append(word)
            gained = {owner, *owners[owner]}
            for each in [key, *(k for k, of in owners.items() if key in of)]:
                owners[each] |= gained
    return found


def _roots(
    log: list[Event],
) -> tuple[dict[str, str], dict[str, LeadEvent], dict[str, EpochMs]]:
    """Return what is left of each merged id, what brings back those that a circle took, and when.

    The last is of each id the instant of its merge.
    """
    latest: dict[str, tuple[EpochMs, str, str | None]] = {}
    for event in log:
        merged, survivor = None, None
        if isinstance(event, CrmEvent):
            if event.type in ("lead_merged", "lead_unmerged"):
                merged = event.merged_lead_id
                survivor = event.lead_id if event.type == "lead_merged" else None
        elif event.type == "alias" and event.lead_id:
            merged, survivor = event.properties.get("previous_id"), event.lead_id
        if merged and survivor != merged:
            told = (corrected_time(event), event.event_id, survivor)
            if merged not in latest or told[:2] > latest[merged][:2]:
                latest[merged] = told
    arrows = {m: told for m, told in latest.items() if told[2] is not None}
    group: dict[str, str] = {}

    def head(lead_id: str) -> str:
        while group.get(lead_id, lead_id) != lead_id:
            lead_id = group[lead_id]
        return lead_id

    for merged, (_, _, survivor) in arrows.items():
        assert survivor is not None
        group[head(merged)] = head(survivor)
    members: defaultdict[str, set[str]] = defaultdict(set)
    for lead_id in {*arrows, *(s for _, _, s in arrows.values() if s is not None)}:
        members[head(lead_id)].add(lead_id)
    roots: dict[str, str] = {}
    backs: dict[str, LeadEvent] = {}
    for group_members in members.values():
        ends = group_members - arrows.keys()
        if ends:
            (root,) = ends
        else:
            root, back = _survivor_of(group_members, arrows)
            backs[root] = back
        roots |= dict.fromkeys(group_members, root)
    return roots, backs, {merged: at for merged, (at, _, _) in arrows.items()}


def _survivor_of(
    members: set[str], arrows: dict[str, tuple[EpochMs, str, str | None]]
) -> tuple[str, LeadEvent]:
    """Return who survives where arrows go in a circle, and what brings it back."""
    circle = set(members)
    while leaves := circle - {arrows[each][2] for each in circle}:
        circle -= leaves
    at, event_id, root = max(arrows[each] for each in circle)
    assert root is not None
    crm = CrmEvent(
        event_id=decision_id(root, "lead_unmerged", at, event_id),
        event_time=at,
        lead_id=root,
        type="lead_unmerged",
        actor="leadstream",
        merged_lead_id=root,
    )
    return root, LeadEvent(lead_id=root, event_id=crm.event_id, occurred_at=at, crm=crm)
