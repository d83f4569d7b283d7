"""The record of a lead: what is said of late events, and what a repetition costs."""

from small_models import DAY_MS, MONDAY_MS, happened, models

from leadstream.schemas.decisions import RETRACTED, Transition
from leadstream.streams.domain.joining import take
from leadstream.streams.domain.lead import (
    Change,
    Limits,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.domain.link_records import Moved
from leadstream.streams.domain.record import hold_waiting
from leadstream.streams.domain.stored import tail_event
from leadstream.streams.domain.view import view

VERSIONS = models(
    """
version: '1'
engagement: {rules: [{name: page, on: page_viewed, points: 10}]}
criteria:
  engaged: [{name: some, when: 'score.total >= 10'}]
  mql: [{name: score, when: 'score.total >= 20'}]
"""
)
TINY = Limits(horizon_ms=DAY_MS, tail_min_events=2, tail_max_events=8)


def test_a_repetition_is_not_said_and_does_not_change_the_revision() -> None:
    record = new_record("l")
    absorb(record, [happened(0, "page_viewed")], VERSIONS, Limits())
    before = encode_record(record)
    assert absorb(record, [happened(0, "page_viewed")] * 3, VERSIONS, Limits()) == []
    assert encode_record(record) == before


def test_a_late_event_takes_back_what_no_longer_holds_before_it_says_what_does() -> None:
    record = new_record("l")
    absorb(record, [happened(0, "page_viewed"), happened(4, "page_viewed")], VERSIONS, Limits())
    sayings = absorb(record, [happened(2, "page_viewed")], VERSIONS, Limits())
    assert [(s.change, s.decision.status == RETRACTED) for s in sayings] == [
        (Change.RETRACTED, True),
        (Change.NEW, False),
    ]
    gone, instead = (s.decision for s in sayings)
    assert isinstance(instead, Transition)
    assert instead.supersedes == gone.id
    assert instead.occurred_at == MONDAY_MS + 2 * DAY_MS
    assert instead.revision > gone.revision


def test_a_late_event_that_only_adds_detail_says_the_same_transition_again() -> None:
    record = new_record("l")
    log = [happened(0, "page_viewed"), happened(2, "page_viewed")]
    said = [s.decision for s in absorb(record, log, VERSIONS, Limits())]
    again = absorb(record, [happened(1, "email_opened")], VERSIONS, Limits())
    assert [(s.change, s.decision.id) for s in again] == [(Change.CHANGED, said[-1].id)]


def test_an_event_older_than_what_is_settled_counts_there_and_is_marked_late() -> None:
    record = new_record("l")
    for day in range(10):
        absorb(record, [happened(day, "email_opened")], VERSIONS, TINY)
    assert 0 < len(record.tail) < 10
    settled_until = record.base_at
    absorb(record, [happened(0.5, "page_viewed")], VERSIONS, TINY)
    state = view(decode_record(encode_record(record)), VERSIONS)
    assert (state.event_count, state.late_count, state.score.total) == (11, 1, 10)
    assert state.reached["engaged"] == settled_until
    assert absorb(record, [happened(0.5, "page_viewed")], VERSIONS, TINY) == []


def test_what_is_settled_is_recognised_when_it_is_repeated() -> None:
    record = new_record("l")
    log = [happened(day, "page_viewed") for day in range(20)]
    for event in log:
        absorb(record, [event], VERSIONS, TINY)
    assert absorb(record, log, VERSIONS, TINY) == []


def test_an_event_far_in_the_future_leaves_the_present_insertable() -> None:
    record = new_record("l")
    absorb(record, [happened(20_000, "email_opened")], VERSIONS, TINY)
    for day in (0, 2, 1):
        absorb(record, [happened(day, "page_viewed")], VERSIONS, TINY)
    assert view(record, VERSIONS).reached["mql"] == MONDAY_MS + DAY_MS


def test_of_two_tellings_of_one_event_the_earlier_counts_whichever_came_first() -> None:
    early, late = (
        happened(day, "page_viewed", event_id="retried", category="pricing") for day in (1, 2)
    )
    heads = []
    for order in ([early, late], [late, early]):
        record = new_record("l")
        for event in order:
            absorb(record, [event], VERSIONS, Limits())
        heads.append(record.head)
    assert heads[0] == heads[1]
    assert heads[0].event_count == 1
    assert heads[0].last_at == early.occurred_at
    reference = effective_decisions("l", [late, early], VERSIONS)
    assert {decision.occurred_at for decision in reference} == {early.occurred_at}


def test_large_events_leave_the_tail_before_their_record_outgrows_the_store() -> None:
    limits, record = Limits(tail_max_bytes=100_000), new_record("l")
    for day in range(40):
        event = happened(day, "form_submitted", properties={"answer": "x" * 10_000})
        absorb(record, [event], VERSIONS, limits)
        assert len(encode_record(record)) < 100_000 + 30_000
    assert record.head.event_count == 40
    assert record.head.late_count == 0
    late = happened(0.5, "page_viewed")
    absorb(record, [late], VERSIONS, limits)
    assert record.head.late_count == 1


def test_an_event_larger_than_the_bound_stays_until_the_next_one_comes() -> None:
    limits, record = Limits(tail_max_bytes=1000), new_record("l")
    large = happened(0, "form_submitted", properties={"answer": "x" * 10_000})
    absorb(record, [large], VERSIONS, limits)
    assert [entry.event_id for entry in record.tail] == [large.event_id]
    small = happened(1, "page_viewed")
    absorb(record, [small], VERSIONS, limits)
    assert [entry.event_id for entry in record.tail] == [small.event_id]
    assert absorb(record, [large, small], VERSIONS, limits) == []


def test_what_another_id_gives_at_the_end_is_folded_alone_and_comes_to_the_same() -> None:
    followed, anew = new_record("l"), new_record("l")
    own = [happened(day, "page_viewed") for day in range(3)]
    given = Moved("anon:phone", [tail_event(happened(4, "page_viewed"))])
    for record in (followed, anew):
        absorb(record, own, VERSIONS, Limits())
        assert take(record, [given])[0]
    assert followed.waiting and not followed.is_unfolded
    hold_waiting(anew)
    assert anew.is_unfolded
    both = [happened(5, "page_viewed"), happened(4.5, "page_viewed")]
    said = [
        [saying.decision for saying in absorb(record, both, VERSIONS, Limits())]
        for record in (followed, anew)
    ]
    assert said[0] == said[1]
    assert encode_record(followed) == encode_record(anew)
    assert not followed.waiting
    assert [entry.sources for entry in followed.tail][3] == ("anon:phone",)
