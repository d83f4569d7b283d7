"""What is kept by place stays where it is: fields may be added at the end, and never be moved."""

from __future__ import annotations

import contextlib
import dataclasses
from decimal import Decimal
from hashlib import blake2b

import msgspec
import pytest
from small_models import MONDAY_MS, happened
from states import state_with

from leadstream.schemas.decisions import (
    Contribution,
    LeakEvent,
    Predicted,
    PredictedContribution,
    Score,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import FoldState, Seen, Tally
from leadstream.streams.domain.state_parts import AccountWord, Lot, Origin, Share, Touch
from leadstream.streams.domain.stored import decision_of, event_of, said_of, tail_event
from leadstream.streams.domain.stored_state import (
    StoredSeen,
    StoredState,
    StoredTally,
    decode_state,
    encode_state,
)

PLACES: dict[type, str] = {
    Touchpoint: """event_id event_time type sent_at received_at lead_id anonymous_id email channel
        source medium campaign content term url referrer asset category properties""",
    CrmEvent: """event_id event_time lead_id type actor owner reason stage opportunity_id amount
        currency attributes merged_lead_id""",
    Transition: """id lead_id seq cycle from_stage to_stage occurred_at cause model_version score
        revision status supersedes inferred cause_event_id cause_type criterion reason reason_given
        leak threshold margin contributions recent_touchpoints buyer_stage persona interest track
        owner route channel campaign last_channel first_mql_at latest_mql_at sla_policy sla_due_at
        opportunity_id amount currency predicted""",
    SlaEvent: """id lead_id policy clock cycle event occurred_at transition_id started_at due_at
        target_s grade model_version revision status warn_at warned_at met_at breached_at
        cancelled_at response_s met_by_event_id owner cancel_reason""",
    LeakEvent: """id lead_id leak cycle event occurred_at opened_at stage transition_id grade
        model_version revision status resolved_at details resolution cause_event_id owner""",
    FoldState: """lead_id stage stage_since cycle next_seq first_at last_at last_fired_at
        event_count late_count unknown_count owner attributes fit_points grade fit_version
        model_version tallies seen first_touch last_touch recent reached inferred first_mql_at
        latest_mql_at mql_count spent reason reason_given cooldown_until clocks opportunity_id
        amount currency buyer_stage persona interest merged_into watches leaks visits held_by
        recycled_at content topics busy_from busy_count hot_since fit_ticks consents stops held
        merged_from account_words stand stood_in account_now awaited""",
    Tally: "raw capped value at hits window_start window_points event_ids lots",
    Seen: "count times",
    TailEvent: "at event_id late body occurred_at",
}
STORED_AS = {FoldState: StoredState, Tally: StoredTally, Seen: StoredSeen}


@pytest.mark.parametrize("kind", PLACES, ids=lambda kind: kind.__name__)
def test_a_field_that_is_kept_by_place_stays_there(kind: type) -> None:
    known = PLACES[kind].split()
    struct = STORED_AS.get(kind, kind)
    assert [each.name for each in msgspec.structs.fields(struct)][: len(known)] == known


@pytest.mark.parametrize("counts_at", [None, MONDAY_MS + 5])
def test_an_event_comes_back_from_the_tail_but_for_where_it_was_read(
    counts_at: int | None,
) -> None:
    crm = CrmEvent(
        event_id="e", event_time=MONDAY_MS, lead_id="l", type="won", amount=Decimal("12.50")
    )
    logged = LeadEvent(lead_id="l", event_id="e", occurred_at=MONDAY_MS, crm=crm)
    for event in (happened(0, "page_viewed", url="/a", properties={"b": "c"}), logged):
        entry = tail_event(event, counts_at)
        assert entry.late is (counts_at is not None)
        found = event_of("l", entry)
        assert msgspec.to_builtins(found.touchpoint and _plain(found.touchpoint)) == (
            event.touchpoint and _plain(event.touchpoint)
        )
        assert (found.crm and _plain(found.crm)) == (event.crm and _plain(event.crm))
        assert (found.event_id, found.occurred_at) == (event.event_id, event.occurred_at)


def _plain(struct: msgspec.Struct) -> dict[str, object]:
    return msgspec.structs.asdict(struct)


def test_a_decision_comes_back_without_what_explains_it() -> None:
    score = Score(total=12.0, fit=2.0, engagement=10.0, grade="B")
    transition = Transition(
        id="t", lead_id="l", seq=1, cycle=1, from_stage="known", to_stage="mql", occurred_at=5,
        cause="criteria", model_version="1", score=score, amount=Decimal("1.25"), margin=0.5,
    )  # fmt: skip
    leak = LeakEvent(
        id="k", lead_id="l", leak="languishing", cycle=1, event="opened", occurred_at=6,
        opened_at=6, stage="mql", transition_id="t", grade="B", model_version="1",
    )  # fmt: skip
    for decision in (transition, leak):
        assert decision_of(said_of(decision)) == decision


def test_a_decision_that_nothing_predicted_is_kept_and_compared_as_before_predictions() -> None:
    score = Score(total=12.0, fit=2.0, engagement=10.0, grade="B")
    plain = Transition(
        id="t", lead_id="l", seq=1, cycle=1, from_stage="known", to_stage="mql", occurred_at=5,
        cause="criteria", model_version="1", score=score, currency="EUR",
        contributions=[Contribution(rule="r", group="g", raw=1, capped=1, points=1, hits=1)],
    )  # fmt: skip
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(plain).items()
        if not name.startswith("predicted")
    }
    said = said_of(plain)
    assert said.digest == blake2b(msgspec.msgpack.encode(fields), digest_size=8).digest()
    core = fields | {"contributions": [], "recent_touchpoints": []}
    assert said.core == msgspec.msgpack.encode(list(core.values()))


def test_a_clock_that_no_reason_cancelled_is_kept_and_compared_as_before_there_were_reasons() -> (
    None
):
    met = SlaEvent(
        id="s", lead_id="l", policy="p", clock="c", cycle=1, event="met", occurred_at=6,
        transition_id="t", started_at=5, due_at=9, target_s=4, grade="B", model_version="1",
    )  # fmt: skip
    fields = {n: v for n, v in msgspec.structs.asdict(met).items() if n != "cancel_reason"}
    said = said_of(met)
    assert said.digest == blake2b(msgspec.msgpack.encode(fields), digest_size=8).digest()
    assert said.core == msgspec.msgpack.encode(list(fields.values()))
    cancelled = msgspec.structs.replace(met, event="cancelled", cancel_reason="consent")
    assert decision_of(said_of(met)) == met
    assert decision_of(said_of(cancelled)) == cancelled


def test_a_predicted_score_comes_back_without_what_explains_it() -> None:
    score = Score(total=12.0, fit=2.0, engagement=10.0, grade="B")
    because = [PredictedContribution(feature="fit.score", value=2.0, log_odds=0.5)]
    told = Transition(
        id="t", lead_id="l", seq=1, cycle=1, from_stage="known", to_stage="mql", occurred_at=5,
        cause="criteria", model_version="1", score=score,
        predicted=Predicted(score=0.25, contributions=because),
    )  # fmt: skip
    core = msgspec.structs.replace(told, predicted=Predicted(score=0.25))
    assert decision_of(said_of(told)) == core
    digests = {
        said_of(changed).digest
        for changed in (told, core, msgspec.structs.replace(told, predicted=Predicted(score=0.5)))
    }
    assert len(digests) == 3


def test_a_state_comes_back_as_it_was_kept() -> None:
    state = state_with(
        stage=Stage.MQL,
        amount=Decimal("12.50"),
        tallies={"r": Tally(raw=2.0, at=MONDAY_MS, event_ids=["e"], lots=[Lot(MONDAY_MS, 1.5)])},
        seen={"page_viewed": Seen(3, [MONDAY_MS])},
        first_touch=Origin("paid_search"),
        recent=[Touch("e", MONDAY_MS, "page_viewed")],
        content={"decision": Share(1.0, MONDAY_MS)},
        reached={"known": MONDAY_MS},
    )
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("kind", STORED_AS, ids=lambda kind: kind.__name__)
def test_what_is_kept_are_all_fields_in_their_order(kind: type) -> None:
    names = [each.name for each in dataclasses.fields(kind)]
    made = {FoldState: FoldState("l"), Tally: Tally(), Seen: Seen(1, [])}[kind]
    if isinstance(made, FoldState):
        made.account_words = {"crm": AccountWord("1", MONDAY_MS)}
    for place, name in enumerate(names):
        # Compiled, a field takes values of its type only; most take one of these.
        for value in (place, f"{place}"):
            with contextlib.suppress(TypeError):
                if not isinstance(getattr(made, name), dict | list):
                    setattr(made, name, value)
                    break
    assert [each.name for each in msgspec.structs.fields(STORED_AS[kind])] == names
    assert list(made.kept()) == [getattr(made, name) for name in names]


def test_a_state_without_an_account_is_kept_as_before_there_were_any() -> None:
    told = list(FoldState("l").kept())
    assert len(told) == len(dataclasses.fields(FoldState)) - 5
    assert decode_state(encode_state(FoldState("l"))) == FoldState("l")


def test_a_state_of_fewer_fields_is_read_with_the_defaults_of_the_others() -> None:
    assert decode_state(msgspec.msgpack.encode(["l", "known"])) == state_with(stage=Stage.KNOWN)
