"""A lead's state as others read it: the record of `lead.state`."""

from __future__ import annotations

from typing import Final

from leadstream.schemas.decisions import Consents, LeadState, Word
from leadstream.streams.domain import sla
from leadstream.streams.domain.accounts import membership_of
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.explain import shortfall
from leadstream.streams.domain.lead import LeadRecord
from leadstream.streams.domain.links import Links, owners_of
from leadstream.streams.domain.scoring import circumstances
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import Origin
from leadstream.streams.domain.transitions import track_of

_NOWHERE: Final = Origin()


def view(record: LeadRecord, models: ModelSet, links: Links | None = None) -> LeadState:
    """Return the state as others read it.

    Args:
        links: whose the id is; None: nobody ever had it but itself.
    """
    state = record.head
    as_of = max(state.last_at, state.last_fired_at)
    model = models.at(as_of)
    of = circumstances(state, model, as_of)
    first, last = state.first_touch or _NOWHERE, state.last_touch or _NOWHERE
    return LeadState(
        lead_id=state.lead_id,
        revision=record.revision,
        stage=state.stage,
        stage_since=state.stage_since,
        cycle=state.cycle,
        score=of.score,
        score_as_of=as_of,
        owner=state.owner,
        reason=state.reason,
        cooldown_until=state.cooldown_until,
        reached=state.reached,
        inferred=[str(stage) for stage in state.inferred] if state.inferred else [],
        first_mql_at=state.first_mql_at,
        latest_mql_at=state.latest_mql_at,
        mql_count=state.mql_count,
        channel=first.channel,
        source=first.source,
        medium=first.medium,
        campaign=first.campaign,
        last_channel=last.channel,
        last_campaign=last.campaign,
        buyer_stage=state.buyer_stage,
        persona=state.persona,
        interest=state.interest,
        track=track_of(state),
        opportunity_id=state.opportunity_id,
        amount=state.amount,
        currency=state.currency,
        attributes=state.attributes,
        first_event_at=state.first_at,
        last_event_at=state.last_at,
        event_count=state.event_count,
        late_count=state.late_count,
        unknown_count=state.unknown_count,
        sla_due_at=sla.nearest_due(state) if state.clocks else None,
        merged_into=state.merged_into,
        hot=state.hot_since is not None,
        next_mql=shortfall(state, model, of),
        consent=None if model.consent is None else _consents(state),
        owners=None if links is None else owners_of(links, state.lead_id),
        account=None if model.accounts is None else membership_of(state, model.accounts),
        model_version=model.version,
    )


def _consents(state: FoldState) -> Consents | None:
    if not state.consents and not state.stops:
        return None
    words = [
        Word(purpose=purpose, state=said.state, since=said.at)
        for purpose, said in sorted(state.consents.items())
    ]
    return Consents(words=words, stops=state.stops)
