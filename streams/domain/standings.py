"""How a lead stands in its account: said when it matters to the account, and what that tells back.

A standing is decided whenever the account, the stage or the persona changes, and when the score has
moved by a step since the last one. Among decisions it is one like others: a late event takes it
back or replaces it.
"""

from __future__ import annotations

from typing import Final

from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.accounts import CompiledAccounts, account_of, forget_other
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.identity import OURSELVES
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.kept import Standing
from leadstream.streams.domain.scoring import score_at
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import AccountNow, Stand
from leadstream.streams.domain.stored import Decision

ACCOUNT_CHANGED: Final = "account_changed"
"""The type of the events by which an account tells its leads what criteria read of it."""
ACCOUNT: Final = "\x00account"
"""Their source among the sources of events."""
BY_ACCOUNT: Final = (ACCOUNT,)
BY_TIMER: Final = "\U0010ffff"
"""The place of a standing that no event made: behind all that happened in its instant."""
_YES: Final = "true"
_MERGED: Final = Stage.MERGED.value


def stand(
    state: FoldState,
    model: CompiledModel,
    accounts: CompiledAccounts,
    at: EpochMs,
    place: str,
    hops: int = 0,
) -> list[Decision]:
    """Decide how a lead stands, where that is another way than its account was told.

    A score that has only faded is told with the next event of the lead's own: an account that tells
    something, or a deadline, makes nobody's score news.
    """
    last = state.stand
    account = account_of(state, accounts) or ""
    forget_other(state, account)
    left = "" if last is None else last.account
    if not account and not left:
        return []
    stage, persona = str(state.stage), state.persona or ""
    is_same = (
        last is not None
        and last.account == account
        and last.stage == stage
        and last.persona == persona
    )
    if is_same and (hops or place == BY_TIMER):
        return []
    score = score_at(state, model, at)
    if is_same and last is not None and abs(score.total - last.score) < accounts.score_step:
        return []
    if account and account not in state.stood_in:
        state.stood_in = [*state.stood_in, account]
    again = 0
    if last is not None and last.at == at and last.place == place:
        again = last.again + 1
    state.stand = Stand(account, stage, persona, score.total, at, place, again)
    told = state.stood_in if stage == _MERGED else sorted({account, left} - {""})
    return [
        Standing(
            id=decision_id(state.lead_id, "standing", account, at, place, again, *told),
            lead_id=state.lead_id,
            occurred_at=at,
            place=f"{place}{again}" if again else place,
            account=account,
            told=told,
            stage=stage,
            persona=persona,
            engagement=score.engagement,
            fit=score.fit,
            model_version=model.version,
            hops=hops,
        )
    ]


def is_of_account(event: Touchpoint | CrmEvent) -> bool:
    """Say whether an account tells this, and nobody who sends events."""
    return (
        event.type == ACCOUNT_CHANGED and isinstance(event, CrmEvent) and event.actor == OURSELVES
    )


def told_event(lead_id: str, at: EpochMs, now: AccountNow, hops: int) -> CrmEvent:
    """Return the event by which an account tells a lead what is known of it.

    Args:
        hops: how many accounts told something before, a millisecond each, this one among them.
    """
    told = (now.id, now.engaged_people, repr(now.score), now.stage, now.has_buying_group, hops)
    return CrmEvent(
        event_id=decision_id(lead_id, ACCOUNT_CHANGED, at, *told),
        event_time=at,
        lead_id=lead_id,
        type=ACCOUNT_CHANGED,
        actor=OURSELVES,
        attributes={
            "account": now.id,
            "engaged_people": str(now.engaged_people),
            "score": repr(now.score),
            "stage": now.stage,
            "has_buying_group": _YES if now.has_buying_group else "",
            "hops": str(hops),
        },
    )


def told_by_account(
    state: FoldState, accounts: CompiledAccounts, event: Touchpoint | CrmEvent
) -> int | None:
    """Take what an account tells into the state; return its hops.

    Returns None where the lead is in another one.
    """
    if not isinstance(event, CrmEvent):
        return None
    told = event.attributes
    account = told.get("account", "")
    if account_of(state, accounts) != account:
        return None
    try:
        state.account_now = AccountNow(
            account,
            int(told.get("engaged_people", "0")),
            float(told.get("score", "0")),
            told.get("stage", ""),
            told.get("has_buying_group") == _YES,
        )
        return int(told.get("hops", "1"))
    except ValueError:
        return None
