"""Accounts, and leads that are judged by them, are a function of the set of all their events."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from account_logs import (
    END_MS,
    MODELS,
    READING,
    SPAN_DAYS,
    account_logs,
    accounts_of,
    expected,
)
from effective import content, effective
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from identity_pipeline import Pipeline
from lead_logs import DAY_MS, START_MS, examples

from leadstream.schemas.decisions import AccountState, LeadState, Transition
from leadstream.streams.backfill.fold import Stands, fold_lead
from leadstream.streams.backfill.shards import encode_event
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.domain.rollups import AccountSums
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.lifecycle.accounts import ACCOUNT_KEY
from leadstream.streams.replay import Replay

UNTIL_FOUND = settings(
    max_examples=3000,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NAMES = st.sampled_from(list(MODELS))


def in_order(decisions: list[Any]) -> list[dict[str, Any]]:
    return [content(d) for d in sorted(decisions, key=lambda d: (d.occurred_at, d.id))]


def plain(state: AccountState) -> dict[str, Any]:
    """Return what a count over the leads can tell of an account's state."""
    return {
        "people": state.people,
        "visitors": state.visitors,
        "engaged_people": state.engaged_people,
        "stage": state.stage,
        "engagement": state.engagement,
    }


def assert_accounts(told: dict[str, AccountState], found: Any) -> None:
    by_hand = accounts_of(found)
    assert told.keys() == by_hand.keys()
    for account, state in told.items():
        personas = by_hand[account].pop("personas")
        assert plain(state) == by_hand[account]
        assert {*state.covered, *state.missing} == (
            {"boss", "user"} if state.missing else {*state.covered}
        )
        assert set(state.covered) == personas & {*state.covered, *state.missing}
        assert state.has_buying_group == (state.missing == [] != state.covered)


@examples(120)
@given(account_logs(), NAMES, st.integers(1, 4), st.integers(0, 2**32), st.booleans())
def test_any_order_and_any_number_of_partitions_give_the_same_accounts(
    log: Any, name: str, partitions: int, seed: int, few: bool
) -> None:
    models = MODELS[name]
    found = expected(log, models)
    pipeline = Pipeline(
        models, partitions, Random(seed), identity_joins=False, tail_min_events=2 if few else 64
    )
    pipeline.run(log, END_MS)
    for lead_id, decisions in found.decisions.items():
        said = [d for d in pipeline.said if d.lead_id == lead_id]
        assert effective(said) == in_order(decisions)
        assert content(pipeline.states[lead_id]) == content(found.states[lead_id])
    assert_accounts(pipeline.accounts, found)


@examples(50)
@given(account_logs(), NAMES, st.integers(1, 4), st.integers(0, 2**32))
def test_accounts_of_joined_ids_depend_on_no_order_and_no_partitions(
    log: Any, name: str, partitions: int, seed: int
) -> None:
    found = []
    for number, told in ((1, log), (partitions, Random(seed).sample(log, len(log)))):
        pipeline = Pipeline(MODELS[name], number, Random(seed + number))
        pipeline.run(told, END_MS)
        said = {
            lead_id: effective([d for d in pipeline.said if d.lead_id == lead_id])
            for lead_id in pipeline.states
        }
        states = {lead_id: content(state) for lead_id, state in pipeline.states.items()}
        accounts = {account: content(state) for account, state in pipeline.accounts.items()}
        found.append((said, states, accounts))
    assert found[0] == found[1]
    run = Replay(MODELS[name])
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    assert {state.lead_id: content(state) for state in run.states()} == found[0][1]
    assert {state.account: content(state) for state in run.account_states()} == found[0][2]


@examples(60)
@given(account_logs(), NAMES)
def test_a_replay_gives_the_same_accounts(log: Any, name: str) -> None:
    found = expected(log, MODELS[name])
    run = Replay(MODELS[name], resolver=StatedIdentity(IdentityRules(joins=False)))
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    held = run.effective.decisions()
    states = {state.lead_id: content(state) for state in run.states()}
    for lead_id, decisions in found.decisions.items():
        assert [content(d) for d in held if d.lead_id == lead_id] == in_order(decisions)
        assert states[lead_id] == content(found.states[lead_id])
    assert_accounts({state.account: state for state in run.account_states()}, found)


@examples(40)
@given(account_logs(), st.sampled_from(["told", "then told"]))
def test_a_backfill_gives_the_same_accounts(log: Any, name: str) -> None:
    models = MODELS[name]
    found = expected(log, models)
    sums = AccountSums()
    for lead_id, bodies in bodies_of(log).items():
        for record in fold_lead(lead_id, bodies, models, END_MS):
            if isinstance(record, Stands):
                sums.add(record.last, record.count)
            elif isinstance(record, LeadState):
                assert content(record) == content(found.states[lead_id])
    assert_accounts({state.account: state for state in sums.states(models)}, found)


@pytest.mark.parametrize("name", READING)
def test_a_backfill_refuses_a_model_that_reads_accounts(name: str) -> None:
    with pytest.raises(ModelError, match=r"reads account.*use --processes 1"):
        list(fold_lead("l", [], MODELS[name], END_MS))


def bodies_of(log: list[Any]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for event in log:
        for each in accept(event, StatedIdentity()):
            found.setdefault(each.lead_id, []).append(encode_event(each))
    return found


@examples(60)
@given(account_logs(), st.sampled_from(READING), st.data())
def test_an_erased_lead_leaves_its_accounts(log: Any, name: str, data: Any) -> None:
    # A merge would spread the erasure to whom it names.
    log = [event for event in log if event.type != "lead_merged"]
    erased = data.draw(st.sampled_from(sorted({event.lead_id for event in log})))
    at = START_MS + data.draw(st.integers(0, SPAN_DAYS)) * DAY_MS
    request = erasure_request(erased, at)
    place = data.draw(st.integers(0, len(log)))
    with_erasure = [*log[:place], request, *log[place:]]
    left = [event for event in log if event.lead_id != erased or event.event_time > at]
    found = expected(left, MODELS[name])
    pipeline = Pipeline(
        MODELS[name], data.draw(st.integers(1, 3)), Random(place), identity_joins=False
    )
    pipeline.run(with_erasure, END_MS)
    for lead_id, decisions in found.decisions.items():
        assert effective([d for d in pipeline.said if d.lead_id == lead_id]) == in_order(decisions)
    assert erased in found.states or erased not in pipeline.states
    assert_accounts(pipeline.accounts, found)
    if erased not in found.states:
        named = erased.encode()
        assert not [
            key
            for store in pipeline.stores()
            for key, value in store.items()
            if value is not None and key.startswith(ACCOUNT_KEY) and named in key + value
        ]


@pytest.mark.parametrize(
    "happens",
    [
        lambda found: found.rounds > 2,
        lambda found: any(s.hops > 1 for each in found.standings.values() for s in each),
        lambda found: any(
            d.to_stage == "mql" and d.cause_type == "account_changed"
            for each in found.decisions.values()
            for d in each
            if isinstance(d, Transition)
        ),
        lambda found: any(len({s.account for s in each}) > 2 for each in found.standings.values()),
        lambda found: any(s.stage == "merged" for each in found.standings.values() for s in each),
    ],
    ids=["tells again", "answers an answer", "an MQL by the account", "moves on", "absorbed"],
)
def test_the_logs_hold_what_is_hard(happens: Any) -> None:
    find(account_logs(), lambda log: happens(expected(log, MODELS["read"])), settings=UNTIL_FOUND)
