"""What an event leaves behind in a lead's state, whatever is decided because of it."""

from __future__ import annotations

from typing import Final

from leadstream.schemas.decisions import TouchSummary
from leadstream.schemas.events import (
    CRM_EVENT_TYPES,
    TOUCHPOINT_TYPES,
    CrmEvent,
    EpochMs,
    Touchpoint,
)
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.nurture import consume
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import (
    MAX_ATTRIBUTE_NAME,
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_SEEN,
    RECENT_TIMES,
    RECENT_TOUCHES,
    FoldState,
    Origin,
    Seen,
    seen_key,
)

_TELLS_ATTRIBUTES: Final = frozenset(
    {
        "identify",
        "form_submitted",
        "demo_requested",
        "contact_sales_requested",
        "trial_started",
        "webinar_registered",
    }
)
_ON_OPPORTUNITY: Final = "opportunity_"


def remember(
    state: FoldState,
    model: CompiledModel,
    event: Touchpoint | CrmEvent,
    at: EpochMs,
    *,
    late: bool,
) -> bool:
    """Note that an event happened and what it tells; return whether the attributes changed.

    Of the touchpoints of a hot lead beyond its limit nothing is noted but their number.
    """
    _remember_arrival(state, at, late)
    if isinstance(event, Touchpoint) and exceeds_limit(state, model):
        return False
    _remember_seen(state, event, at)
    if isinstance(event, Touchpoint):
        return _remember_touchpoint(state, model, event, at)
    return _remember_crm(state, event)


def count_busy(state: FoldState, model: CompiledModel, at: EpochMs) -> None:
    """Count a touchpoint for the lead's busy period, and flag the lead once it is too many."""
    hot = model.source.hot
    if at - state.busy_from >= hot.per * MS_PER_SECOND:
        if state.busy_count <= hot.events:
            state.hot_since = None
        state.busy_from, state.busy_count = at, 0
    state.busy_count += 1
    if exceeds_limit(state, model) and state.hot_since is None:
        state.hot_since = at


def exceeds_limit(state: FoldState, model: CompiledModel) -> bool:
    """Say whether the lead's busy period has more touchpoints than the model lets count."""
    return state.busy_count > model.source.hot.events


def _remember_arrival(state: FoldState, at: EpochMs, late: bool) -> None:
    if state.event_count == 0:
        state.first_at = state.stage_since = at
        state.reached[Stage.ANONYMOUS] = at
    state.event_count += 1
    state.late_count += late
    state.last_at = max(state.last_at, at)


def _remember_touchpoint(
    state: FoldState, model: CompiledModel, touch: Touchpoint, at: EpochMs
) -> bool:
    origin = Origin(touch.channel, touch.source, touch.medium, touch.campaign)
    state.first_touch = state.first_touch or origin
    state.last_touch = origin
    state.recent = [
        *state.recent[1 - RECENT_TOUCHES :],
        TouchSummary(
            event_id=touch.event_id,
            occurred_at=at,
            type=touch.type,
            channel=touch.channel,
            campaign=touch.campaign,
            asset=touch.asset,
            category=touch.category,
        ),
    ]
    state.unknown_count += touch.type not in TOUCHPOINT_TYPES
    consume(state, model, touch, at)
    if touch.type in _TELLS_ATTRIBUTES and touch.properties:
        return _learn(state, touch.properties)
    return False


def _remember_crm(state: FoldState, event: CrmEvent) -> bool:
    state.unknown_count += event.type not in CRM_EVENT_TYPES
    state.owner = event.owner or state.owner
    if event.type.startswith(_ON_OPPORTUNITY) and state.stage is not Stage.CUSTOMER:
        state.opportunity_id = event.opportunity_id or state.opportunity_id
        if event.amount is not None:
            state.amount = event.amount
        state.currency = event.currency or state.currency
    return _learn(state, event.attributes) if event.attributes else False


def _learn(state: FoldState, facts: dict[str, str]) -> bool:
    before = dict(state.attributes)
    for full_name, value in sorted(facts.items()):
        name = full_name[:MAX_ATTRIBUTE_NAME]
        if name in state.attributes or len(state.attributes) < MAX_ATTRIBUTES:
            state.attributes[name] = value[:MAX_ATTRIBUTE_VALUE]
    return state.attributes != before


def _remember_seen(state: FoldState, event: Touchpoint | CrmEvent, at: EpochMs) -> None:
    keys = {seen_key(event.type)}
    if isinstance(event, Touchpoint):
        keys |= {seen_key(event.type, what) for what in (event.category, event.asset) if what}
    for key in sorted(keys):
        seen = state.seen.setdefault(key, Seen())
        seen.count += 1
        seen.times = [*seen.times[1 - RECENT_TIMES :], at]
    while len(state.seen) > MAX_SEEN:
        del state.seen[min(state.seen, key=lambda key: (state.seen[key].times[-1], key))]
