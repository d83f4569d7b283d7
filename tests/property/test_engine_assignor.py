"""Partition numbers are shared out evenly, and move only when they must."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from hypothesis import given
from hypothesis import strategies as st

from leadstream.streams.engine.assignor import StickyByNumber, share_out

MEMBERS = st.sets(st.sampled_from("abcdefgh"), min_size=1)
COUNTS = st.integers(1, 24)


def claims_of(draw: Any, members: set[str], count: int) -> dict[str, set[int]]:
    numbers = st.sets(st.integers(0, count + 2))
    return {member: draw(numbers) for member in sorted(members)}


@given(st.data(), MEMBERS, COUNTS)
def test_every_number_has_one_owner_and_shares_differ_by_one_at_most(
    data: st.DataObject, members: set[str], count: int
) -> None:
    shares = share_out(set(range(count)), claims_of(data.draw, members, count))
    assert shares.keys() == members
    assert sorted(number for share in shares.values() for number in share) == list(range(count))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(MEMBERS, COUNTS)
def test_who_has_a_fair_share_keeps_it(members: set[str], count: int) -> None:
    before = share_out(set(range(count)), {member: set() for member in members})
    assert share_out(set(range(count)), before) == before


@given(st.sets(st.sampled_from("abcdefgh"), min_size=2), COUNTS)
def test_when_one_leaves_only_its_numbers_move(members: set[str], count: int) -> None:
    before = share_out(set(range(count)), {member: set() for member in members})
    gone = min(members)
    after = share_out(set(range(count)), {m: s for m, s in before.items() if m != gone})
    for member, share in after.items():
        assert before[member] <= share


@given(MEMBERS, COUNTS)
def test_when_one_joins_it_takes_no_more_than_its_share(members: set[str], count: int) -> None:
    before = share_out(set(range(count)), {member: set() for member in members})
    after = share_out(set(range(count)), {**before, "new": set()})
    for member in members:
        assert after[member] <= before[member], "an old member got a number that another had"
    assert len(after["new"]) <= -(-count // (len(members) + 1))


@given(st.data(), st.integers(1, 6), COUNTS)
def test_groups_whose_member_ids_begin_alike_share_out_alike(
    data: st.DataObject, workers: int, count: int
) -> None:
    """As those of the stages: a broker adds to the client id what differs from group to group."""
    shares = []
    for _ in range(2):
        ends = data.draw(st.lists(st.uuids(), min_size=workers, max_size=workers))
        order = data.draw(st.permutations(range(workers)))
        members: dict[str, set[int]] = {f"worker-{n}-{ends[n]}": set() for n in order}
        found = share_out(set(range(count)), members)
        shares.append({name[: len("worker-0")]: numbers for name, numbers in found.items()})
    assert shares[0] == shares[1]


class Cluster:
    def __init__(self, count: int) -> None:
        self._count = count

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._count))


@given(MEMBERS, COUNTS)
def test_all_inputs_of_a_number_go_to_one_member_whoever_leads(
    members: set[str], count: int
) -> None:
    ours = StickyByNumber(lambda: {0, 1})
    described = {
        member: ours.metadata(["left", "right"])
        if member < "d"
        else RangePartitionAssignor.metadata(["left", "right"])
        for member in members
    }
    for leader in (ours, RangePartitionAssignor):
        assigned = leader.assign(Cluster(count), described)
        for member in members:
            (left, lefts), (right, rights) = assigned[member].assignment
            assert (left, right) == ("left", "right")
            assert list(lefts) == list(rights)


def test_a_claim_that_cannot_be_read_is_no_claim() -> None:
    members = {
        "a": SimpleNamespace(subscription=["left"], user_data=b"\xff\x00"),
        "b": SimpleNamespace(subscription=["left"], user_data=None),
    }
    assigned = StickyByNumber(set).assign(Cluster(2), members)
    assert {name: assigned[name].assignment for name in "ab"} == {
        "a": [("left", [0])],
        "b": [("left", [1])],
    }
