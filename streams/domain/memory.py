"""What an event leaves behind in a lead's state, whatever is decided because of it."""

from __future__ import annotations

from typing import Final

from leadstream.schemas.events import (
    CRM_EVENT_TYPES,
    TOUCHPOINT_TYPES,
    CrmEvent,
    EpochMs,
    Touchpoint,
)
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.consent import CONSENT_CHANGED
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
    Seen,
    seen_key,
)
from leadstream.streams.domain.state_parts import Origin, Touch

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
    contained: bool,
    scored: bool = True,
) -> bool:
    """Note that an event happened and what it tells; return whether the attributes changed.

    Args:
        contained: it is a touchpoint of a hot lead beyond its limit, of which nothing is noted
            but its number.
        scored: what the lead does may be counted and judged.
    """
    _remember_arrival(state, at, late)
    if contained:
        return False
    if scored:
        _remember_seen(state, event, at)
    if isinstance(event, Touchpoint):
        if scored:
            consume(state, model, event, at)
        return _remember_touchpoint(state, event, at)
    return _remember_crm(state, event)


def count_busy(state: FoldState, model: CompiledModel, at: EpochMs) -> bool:
    """Count a touchpoint for the lead's busy period, and flag the lead once it is too many.

    Returns:
        Whether the period has more touchpoints than the model lets count.
    """
    limits = model.limits
    if at - state.busy_from >= limits.hot_per_ms:
        if state.busy_count <= limits.hot_events:
            state.hot_since = None
        state.busy_from, state.busy_count = at, 0
    state.busy_count += 1
    exceeds = state.busy_count > limits.hot_events
    if exceeds and state.hot_since is None:
        state.hot_since = at
    return exceeds


def _remember_arrival(state: FoldState, at: EpochMs, late: bool) -> None:
    if state.event_count == 0:
        state.first_at = state.stage_since = at
        state.reached[Stage.ANONYMOUS] = at
    state.event_count += 1
    if late:
        state.late_count += 1
    state.last_at = max(state.last_at, at)


def _remember_touchpoint(state: FoldState, touch: Touchpoint, at: EpochMs) -> bool:
    kind, channel, campaign = touch.type, touch.channel, touch.campaign
    origin = Origin(channel, touch.source, touch.medium, campaign)
    if state.first_touch is None:
        state.first_touch = origin
    state.last_touch = origin
    remembered = Touch(
        touch.event_id,
        at,
        kind,
        channel,
        campaign,
        touch.asset,
        touch.category,
    )
    # Lists of a state are shared with what was said, so none is changed in place.
    state.recent = [*state.recent[1 - RECENT_TOUCHES :], remembered]
    if kind not in TOUCHPOINT_TYPES and kind != CONSENT_CHANGED:
        state.unknown_count += 1
    if kind in _TELLS_ATTRIBUTES and touch.properties:
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
    seen, kind = state.seen, event.type
    _note(seen, kind, at)
    if isinstance(event, Touchpoint):
        category, asset = event.category, event.asset
        if category:
            _note(seen, seen_key(kind, category), at)
        if asset and asset != category:
            _note(seen, seen_key(kind, asset), at)
    while len(seen) > MAX_SEEN:
        del seen[min(seen, key=lambda key: (seen[key].times[-1], key))]


def _note(seen: dict[str, Seen], key: str, at: EpochMs) -> None:
    found = seen.get(key)
    if found is None:
        seen[key] = Seen(1, [at])
        return
    found.count += 1
    times = found.times
    times.append(at)
    if len(times) > RECENT_TIMES:
        del times[0]
