"""Which ids count, which join, and what the settings add."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.alias_graph import AliasGraph
from leadstream.streams.domain.identity import (
    lead_of_anonymous,
    lead_of_email,
    lead_of_external,
)
from leadstream.streams.domain.link_records import Alike, Merged
from leadstream.streams.domain.merge_graph import MergeGraph
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.rules import identity_rules

WHO = StatedIdentity()
AT = 1_772_784_000_000


def touch(**fields: Any) -> Touchpoint:
    return Touchpoint(**{"event_id": "e", "event_time": AT, "type": "identify", **fields})


def claimed(who: StatedIdentity, event: Touchpoint, **given: Any) -> dict[str, str]:
    (lead,) = who.leads_of(event, **given)
    return {key: claim.owner for key, claim in who.ties_of(event, lead, AT, **given)[0]}


@pytest.mark.parametrize(
    "nobody",
    ["null", "NULL", " none ", "undefined", "-1", "0", "00000000-0000-0000-0000-000000000000",
     "anonymous", "N/A", "", "  "],
)  # fmt: skip
def test_an_id_that_is_none_counts_as_absent(nobody: str) -> None:
    assert WHO.leads_of(touch(lead_id=nobody, anonymous_id="a1")) == ("anon:a1",)
    assert WHO.leads_of(touch(lead_id=nobody, anonymous_id=nobody)) == ()


def test_the_strongest_id_has_the_event_and_claims_the_others() -> None:
    event = touch(
        lead_id="ada",
        email=" Ada@X.example",
        anonymous_id="a1",
        properties={"external_id": "hubspot:7"},
    )
    assert WHO.leads_of(event) == ("ada",)
    assert claimed(WHO, event) == {
        lead_of_external("hubspot:7"): "ada",
        lead_of_email("ada@x.example"): "ada",
        lead_of_anonymous("a1"): "ada",
    }


def test_an_event_at_which_nobody_says_who_it_is_claims_nothing() -> None:
    assert claimed(WHO, touch(type="page_viewed", lead_id="ada", anonymous_id="a1")) == {}


def test_a_type_of_the_settings_claims() -> None:
    who = StatedIdentity(
        identity_rules(Settings(identity_joins=True, identity_types="page_viewed, other"))
    )
    event = touch(type="page_viewed", lead_id="ada", anonymous_id="a1")
    assert claimed(who, event) == {"anon:a1": "ada"}


def test_a_shared_mailbox_is_a_lead_and_joins_nobody() -> None:
    shared = lead_of_email("info@x.example")
    assert WHO.leads_of(touch(email="Info@x.example")) == (shared,)
    assert claimed(WHO, touch(lead_id="ada", email="info@x.example")) == {}


def test_a_shared_mailbox_is_known_behind_its_hash() -> None:
    hider = AddressHider("k" * 32)
    who = StatedIdentity(hider=hider)
    stated = touch(lead_id="ada", email="sales@x.example")
    assert claimed(who, hider.touchpoint(stated), stated=stated) == {}
    stated = touch(lead_id="ada", email="Ada@x.example")
    key = lead_of_email(hider.address("ada@x.example"))
    assert claimed(who, hider.touchpoint(stated), stated=stated) == {key: "ada"}


def test_provider_rules_make_one_of_an_addresss_spellings() -> None:
    who = StatedIdentity(identity_rules(Settings(identity_provider_rules=True)))
    (lead,) = who.leads_of(touch(email="a.da+news@googlemail.com"))
    assert who.leads_of(touch(email="Ada@gmail.com")) == (lead,)
    assert who.leads_of(touch(email="a.da@x.example")) == (lead_of_email("a.da@x.example"),)
    assert WHO.leads_of(touch(email="a.da@gmail.com")) != WHO.leads_of(touch(email="ada@gmail.com"))


def test_settings_block_ids_and_mailboxes() -> None:
    rules = identity_rules(
        Settings(
            identity_joins=True,
            identity_blocked_ids="Test, demo-user",
            identity_shared_mailboxes="kontakt",
        )
    )
    who = StatedIdentity(rules)
    assert who.leads_of(touch(lead_id="TEST", anonymous_id="demo-user")) == ()
    assert claimed(who, touch(lead_id="ada", email="kontakt@x.example")) == {}


def test_an_alias_merges_a_lead_and_claims_a_visitor() -> None:
    event = touch(type="alias", lead_id="ada", properties={"previous_id": "old"})
    assert WHO.ties_of(event, "ada", AT)[1] == [Merged("old", "ada", AT, "e", is_told=False)]
    assert claimed(WHO, event) == {"anon:old": "ada"}


def test_an_unmerge_belongs_to_both_leads() -> None:
    event = CrmEvent(
        event_id="e", event_time=AT, lead_id="ada", type="lead_unmerged", merged_lead_id="bob"
    )
    assert WHO.leads_of(event) == ("ada", "bob")
    assert WHO.ties_of(event, "ada", AT)[1] == [Merged("bob", None, AT, "e")]


def test_ids_of_one_rank_belong_to_each_other_and_weaker_ones_to_the_first() -> None:
    event = touch(email="Ada@x.example", anonymous_id="a1", properties={"email": "a@y.example"})
    ada, other = lead_of_email("ada@x.example"), lead_of_email("a@y.example")
    assert claimed(WHO, event) == {"anon:a1": ada}
    assert WHO.ties_of(event, ada, AT)[1] == [Alike(other, ada, AT, "e")]


def test_nothing_is_joined_to_a_shared_mailbox() -> None:
    event = touch(email="info@x.example", anonymous_id="a1")
    assert claimed(WHO, event) == {}
    assert WHO.ties_of(event, lead_of_email("info@x.example"), AT)[1] == []


def test_of_aliases_in_a_circle_the_one_that_would_close_it_does_not_count() -> None:
    words = [
        Alike("b", "a", 1, "e1"), Alike("c", "b", 2, "e2"), Alike("a", "c", 3, "e3"),
        Alike("a", "d", 4, "e4"),
    ]  # fmt: skip
    for order in permutations(words):
        graph = AliasGraph()
        said: dict[str, list[tuple[int, str, str]]] = {}
        for word in order:
            said |= {key: aliased.claims for key, aliased in graph.add(word).items()}
        assert {key: claims for key, claims in said.items() if claims} == {
            "b": [(1, "e1", "a")], "c": [(2, "e2", "b")], "a": [(4, "e4", "d")],
        }  # fmt: skip


def test_in_a_circle_of_merges_the_latest_says_who_survives() -> None:
    graph = MergeGraph()
    graph.add(Merged("ada", "bob", 1, "e1"))
    graph.add(Merged("bob", "cyd", 2, "e2"))
    news = graph.add(Merged("cyd", "ada", 3, "e3"))
    assert {lead: rooted.root for lead, rooted in news.items()} == {
        "ada": "ada", "bob": "ada", "cyd": "ada",
    }  # fmt: skip
    assert news["ada"].is_back
    assert graph.add(Merged("cyd", None, 4, "e4"))["ada"].root == "cyd"
