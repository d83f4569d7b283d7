"""From the states of leads and accounts to columns, as rows.py does of other records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leadstream.schemas.decisions import AccountState, Consents, LeadState
from leadstream.schemas.events import EARLIEST_MS
from leadstream.sinks.columns import Columns, Place, position_columns, score_columns

_NO_WORDS: Final = Consents()


def lead_state_columns(states: Sequence[LeadState], at: Sequence[Place]) -> Columns:
    """Return the columns of `lead_state`."""
    consents = [state.consent or _NO_WORDS for state in states]
    return {
        "lead_id": [state.lead_id for state in states],
        "revision": [state.revision for state in states],
        "stage": [state.stage for state in states],
        "stage_since": [state.stage_since for state in states],
        "cycle": [state.cycle for state in states],
        **score_columns(state.score for state in states),
        "score_as_of": [state.score_as_of for state in states],
        "owner": [state.owner or "" for state in states],
        "reason": [state.reason or "" for state in states],
        "cooldown_until": [state.cooldown_until for state in states],
        "reached": [state.reached for state in states],
        "inferred": [state.inferred for state in states],
        "first_mql_at": [state.first_mql_at for state in states],
        "latest_mql_at": [state.latest_mql_at for state in states],
        "mql_count": [state.mql_count for state in states],
        "channel": [state.channel or "" for state in states],
        "source": [state.source or "" for state in states],
        "medium": [state.medium or "" for state in states],
        "campaign": [state.campaign or "" for state in states],
        "last_channel": [state.last_channel or "" for state in states],
        "last_campaign": [state.last_campaign or "" for state in states],
        "buyer_stage": [state.buyer_stage or "" for state in states],
        "persona": [state.persona or "" for state in states],
        "interest": [state.interest or "" for state in states],
        "track": [state.track or "" for state in states],
        "opportunity_id": [state.opportunity_id or "" for state in states],
        "amount": [state.amount for state in states],
        "currency": [state.currency or "" for state in states],
        "attributes": [state.attributes for state in states],
        "first_event_at": [state.first_event_at for state in states],
        "last_event_at": [state.last_event_at for state in states],
        "event_count": [state.event_count for state in states],
        "late_count": [state.late_count for state in states],
        "unknown_count": [state.unknown_count for state in states],
        "sla_due_at": [state.sla_due_at for state in states],
        "merged_into": [state.merged_into or "" for state in states],
        "model_version": [state.model_version for state in states],
        "hot": [state.hot for state in states],
        "next_mql": [state.next_mql for state in states],
        "consents": [{word.purpose: word.state for word in of.words} for of in consents],
        "consents_since": [{word.purpose: word.since for word in of.words} for of in consents],
        "consent_stops": [of.stops for of in consents],
        "account": [state.account.id if state.account else "" for state in states],
        "buying_group": [state.account.buying_group if state.account else [] for state in states],
        **position_columns(at),
    }


def account_state_columns(states: Sequence[AccountState], at: Sequence[Place]) -> Columns:
    """Return the columns of `account_state`."""
    return {
        "account": [state.account for state in states],
        "revision": [state.revision for state in states],
        "as_of": [state.as_of for state in states],
        "people": [state.people for state in states],
        "visitors": [state.visitors for state in states],
        "engaged_people": [state.engaged_people for state in states],
        "stage": [state.stage for state in states],
        "score": [state.score for state in states],
        "engagement": [state.engagement for state in states],
        "fit": [state.fit for state in states],
        "covered": [state.covered for state in states],
        "missing": [state.missing for state in states],
        "has_buying_group": [state.has_buying_group for state in states],
        "model_version": [state.model_version for state in states],
        **position_columns(at),
    }


def identity_columns(states: Sequence[LeadState], at: Sequence[Place]) -> Columns:
    """Return the columns of `identities`: of the ids that others had, to whom they belong."""
    told = [(s, place) for s, place in zip(states, at, strict=True) if s.owners is not None]
    owners = [state.owners or [] for state, _ in told]
    return {
        "lead_id": [state.lead_id for state, _ in told],
        "revision": [state.revision for state, _ in told],
        "owners.since": [
            [EARLIEST_MS if owner.since is None else owner.since for owner in of] for of in owners
        ],
        "owners.lead_id": [[owner.lead_id for owner in of] for of in owners],
        "first_event_at": [state.first_event_at for state, _ in told],
        **position_columns([place for _, place in told]),
    }
