"""A key that is claimed again and again is as much anybody's as with all claims."""

from __future__ import annotations

from random import Random

import pytest

from leadstream.streams.domain.alias_graph import AliasGraph
from leadstream.streams.domain.claims import MOST_CLAIMS, MOST_OWNERS, thinned
from leadstream.streams.domain.link_records import Aliased, Alike, Claimed, Place
from leadstream.streams.domain.links import Links, owner_at

KEY = "anon:phone"


def claims_of(random: Random, count: int, change: float) -> list[Place]:
    owner, found = "ada", []
    for number in range(count):
        if random.random() < change:
            owner = random.choice(["ada", "bob", "cyd"])
        found.append((10 * (number // 2), f"e{number:05d}", owner))
    return found


@pytest.mark.parametrize("change", [0.0, 0.01, 0.3])
def test_claims_in_their_order_are_answered_as_if_all_were_kept(change: float) -> None:
    random = Random(7)
    every = claims_of(random, 2000, change)
    links = Links([])
    for at, event_id, owner in every:
        links = links.with_claims([Claimed(owner, at, event_id)])
    whole = Links(every)
    assert all(owner_at(links, KEY, at) == owner_at(whole, KEY, at) for at in range(-1, 10_001))
    if change < 0.1:
        assert len(links.stated) <= MOST_CLAIMS


def test_a_claim_between_two_of_a_row_by_another_of_its_rank_keeps_both() -> None:
    aliased = Aliased(0, [(55, "x", "anon:other")])
    links = Links([], aliased=aliased)
    for number in range(500):
        links = links.with_claims([Claimed("ada", 10 * number, f"e{number}")])
    assert owner_at(links, KEY, 57) == "anon:other"
    assert owner_at(links, KEY, 60) == "ada"
    assert owner_at(links, KEY, 54) == "ada"


def test_few_claims_stay_as_they_are() -> None:
    every = claims_of(Random(1), MOST_CLAIMS, 0.0)
    assert thinned(every) == every


def test_a_key_that_a_crowd_claims_is_nobodys_in_any_order() -> None:
    every = [Claimed(f"lead {n}", n, f"e{n}") for n in range(MOST_OWNERS + 1)]
    for seed in range(5):
        Random(seed).shuffle(every)
        links = Links([])
        for claimed in every[:-1]:
            links = links.with_claims([claimed])
        assert owner_at(links, KEY, 50) != KEY
        links = links.with_claims([every[-1]])
        assert owner_at(links, KEY, 50) == KEY
        assert links.with_claims([Claimed("ada", 5, "again")]) is links


def test_an_id_beside_a_crowd_of_its_rank_joins_none_of_them_in_any_order() -> None:
    words = [Alike(f"anon:{n}", KEY, n, f"e{n}") for n in range(MOST_OWNERS + 1)]
    words.append(Alike("anon:7", "anon:8", 500, "other"))
    for seed in range(5):
        Random(seed).shuffle(words)
        graph = AliasGraph()
        said: dict[str, list[Place]] = {}
        for word in words:
            said |= {key: aliased.claims for key, aliased in graph.add(word).items()}
        held = {key: claims for key, claims in said.items() if claims}
        assert held == {"anon:7": [(500, "other", "anon:8")]}


def test_words_on_ids_of_one_rank_come_back_from_the_store() -> None:
    random = Random(3)
    ids = [f"anon:{n}" for n in range(6)]
    words = [Alike(*random.sample(ids, 2), random.randint(1, 50), f"e{n}") for n in range(40)]
    graph = AliasGraph()
    for place, word in enumerate(words):
        again = AliasGraph()
        for key in ids:
            again.restore(key, graph.words_of(key), graph.said_of(key))
        assert graph.add(word) == again.add(word), place


def test_a_word_in_its_place_says_what_all_words_anew_say() -> None:
    random = Random(5)
    ids = [f"anon:{n}" for n in range(7)]
    words = [Alike(*random.sample(ids, 2), random.randint(1, 90), f"e{n}") for n in range(60)]
    graph = AliasGraph()
    for word in words:
        graph.add(word)
    in_order = AliasGraph()
    for word in sorted(words, key=lambda w: (w.at, w.event_id, w.owner, w.key)):
        in_order.add(word)
    assert {k: graph.said_of(k).claims for k in ids} == {k: in_order.said_of(k).claims for k in ids}
