"""Copies move along claims and merges, shard by shard, and nothing that is erased moves."""

from __future__ import annotations

from typing import Any

from backfilled import Backfill

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.backfill.joined import Held, Joined, earliest, hear, links_of
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.link_records import Claimed, Moved, Withdrawn, encode_link
from leadstream.streams.domain.links import owner_at
from leadstream.streams.domain.stages import Stage
from leadstream.streams.models import load_models

HOUR_MS = 3_600_000
MODELS = load_models(None)
MAIL = "ada@x.example"
BY_MAIL = lead_of_email(MAIL)


def touch(event_id: str, hour: int, kind: str = "page_viewed", **stated: Any) -> Touchpoint:
    return Touchpoint(event_id=event_id, event_time=hour * HOUR_MS, type=kind, **stated)


def merge(event_id: str, hour: int, into: str, merged: str) -> CrmEvent:
    return CrmEvent(
        event_id=event_id,
        event_time=hour * HOUR_MS,
        type="lead_merged",
        lead_id=into,
        merged_lead_id=merged,
    )


def backfilled(*log: Touchpoint | CrmEvent, erased: dict[str, int] | None = None) -> Backfill:
    known = {lead_id: hour * HOUR_MS for lead_id, hour in (erased or {}).items()}
    return Backfill(MODELS, 3, 1, known).run(list(log), 2, 2, 100 * HOUR_MS)


def counts(found: Backfill) -> dict[str, int]:
    return {lead_id: state.event_count for lead_id, state in found.states.items()}


def rows(found: Backfill) -> list[tuple[str, str]]:
    return sorted((e.lead_id, e.event_id) for e in found.events)


WAY = (
    touch("p", 1, anonymous_id="phone"),
    touch("i", 2, "identify", anonymous_id="phone", email=MAIL),
    touch("j", 3, "identify", email=MAIL, lead_id="ada"),
    merge("m", 4, "eve", "ada"),
)


def test_an_event_goes_from_device_to_address_to_lead_to_root_in_three_steps() -> None:
    found = backfilled(*WAY)
    assert found.joining.steps == 3
    # Each id that is absorbed is told so once, or has the merge among its own.
    assert counts(found) == {"anon:phone": 2, BY_MAIL: 3, "ada": 4, "eve": 4}
    for lead_id in ("anon:phone", BY_MAIL, "ada"):
        assert found.states[lead_id].stage == Stage.MERGED
    assert found.states["anon:phone"].merged_into == BY_MAIL
    assert rows(found) == sorted(
        [("anon:phone", "p"), (BY_MAIL, "i"), ("ada", "j"), ("ada", "m"), ("eve", "m")]
    )


def test_a_log_that_joins_nobody_moves_nothing() -> None:
    found = backfilled(touch("p", 1, anonymous_id="phone"), touch("q", 2, lead_id="ada"))
    assert (found.joining.steps, found.joining.claimed, found.joining.merges.said) == (0, {}, {})


def test_a_key_that_nothing_happened_under_tells_nothing() -> None:
    found = backfilled(touch("j", 3, "identify", email=MAIL, lead_id="ada"))
    assert counts(found) == {"ada": 1}
    assert found.joining.claimed.total() > 0


def test_an_id_that_has_given_events_only_lives_by_them() -> None:
    found = backfilled(
        touch("p", 1, anonymous_id="phone"),
        touch("a", 2, "alias", lead_id="ada", properties={"previous_id": "bob"}),
        touch("i", 3, "identify", anonymous_id="phone", lead_id="bob"),
        erased={"bob": 0, "ada": 2},
    )
    # What ada stated is erased, also of bob, whom she was before; of his what came later is hers.
    assert counts(found) == {"anon:phone": 2, "bob": 1, "ada": 1}
    assert "ada" not in {lead_id for lead_id, _ in rows(found)}


def test_what_is_erased_of_an_id_is_neither_kept_nor_given_and_no_claim() -> None:
    found = backfilled(*WAY, erased={"anon:phone": 1})
    assert counts(found) == {BY_MAIL: 2, "ada": 3, "eve": 3}
    found = backfilled(*WAY, touch("q", 5, anonymous_id="phone"), erased={"anon:phone": 2})
    assert counts(found) == {"anon:phone": 1, BY_MAIL: 2, "ada": 3, "eve": 3}
    assert found.states["anon:phone"].merged_into is None


def test_what_is_erased_of_an_owner_is_no_more_of_what_it_is_given() -> None:
    found = backfilled(
        touch("p", 1, anonymous_id="phone"),
        touch("q", 3, anonymous_id="phone"),
        touch("i", 5, "identify", anonymous_id="phone", lead_id="ada"),
        erased={"ada": 2},
    )
    assert found.erased == {"ada": 2 * HOUR_MS}
    assert counts(found) == {"anon:phone": 3, "ada": 2}


def test_an_id_that_one_of_its_own_events_states_as_a_lead_is_no_key() -> None:
    found = backfilled(
        touch("p", 1, anonymous_id="phone"),
        touch("q", 2, lead_id="anon:phone"),
        touch("i", 3, "identify", anonymous_id="phone", lead_id="ada"),
    )
    assert counts(found) == {"anon:phone": 2, "ada": 1}


def test_addresses_that_claim_each_other_are_one_person_s_under_the_first_claim() -> None:
    other = "eve@x.example"
    found = backfilled(
        touch("i", 1, "identify", email=MAIL, properties={"email": other}),
        touch("j", 2, "identify", email=other, properties={"email": MAIL}),
    )
    assert counts(found) == {BY_MAIL: 2, lead_of_email(other): 2}
    assert found.states[BY_MAIL].merged_into is None
    assert found.states[lead_of_email(other)].merged_into == BY_MAIL


def test_an_event_told_again_of_an_earlier_time_leaves_whom_it_went_to() -> None:
    # Under the address it happened at 6, as ada's; the device tells of 2, when it was bob's.
    log = (
        touch("x", 6, email=MAIL),
        touch("x", 2, anonymous_id="phone"),
        touch("i", 3, "identify", anonymous_id="phone", email=MAIL),
        touch("b", 1, "identify", email=MAIL, lead_id="bob"),
        touch("a", 5, "identify", email=MAIL, lead_id="ada"),
    )
    found = backfilled(*log)
    assert counts(found) == {"anon:phone": 2, BY_MAIL: 3, "bob": 3, "ada": 1}
    assert found.states[BY_MAIL].first_event_at == HOUR_MS
    assert rows(found) == sorted(
        [("anon:phone", "x"), (BY_MAIL, "x"), (BY_MAIL, "i"), ("bob", "b"), ("ada", "a")]
    )


def entry(event_id: str, at: int) -> TailEvent:
    return TailEvent(at, event_id, False, b"")


def test_the_earliest_telling_counts_whoever_gives_it() -> None:
    held: Held = {}
    hear(held, Moved("a", [entry("x", 5), entry("y", 1)]), 0)
    hear(held, Moved("b", [entry("x", 3)]), 0)
    assert earliest(held) == {"x": entry("x", 3), "y": entry("y", 1)}
    hear(held, Withdrawn("b", ["x", "never"]), 0)
    assert earliest(held)["x"].at == 5
    hear(held, Moved("a", [entry("x", 2), entry("y", 9)]), 4)
    assert earliest(held) == {"y": entry("y", 9)}


def test_claims_count_once_each_and_only_after_an_erasure() -> None:
    claims = [encode_link(Claimed(o, at, f"e{at}")) for o, at in (("b", 5), ("a", 1), ("a", 1))]
    links = links_of(Joined(claims), 0, is_lead=False)
    assert links.claims == [(1, "e1", "a"), (5, "e5", "b")]
    assert owner_at(links_of(Joined(claims), 1, is_lead=False), "k", 0) == "b"
