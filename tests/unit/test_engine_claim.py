"""Taking a partition over: in an order in which nobody who wakes late can commit for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leadstream.schemas.codec import SingleObject
from leadstream.schemas.settings import Settings
from leadstream.streams.engine import claim as engine_claim
from leadstream.streams.engine.claim import Claim, claim_id
from leadstream.streams.engine.faults import FencedError
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.positions import UNOWNED, Meta
from leadstream.streams.engine.restore import Restored
from leadstream.streams.identify.stage import IdentifyStage

STEPS: list[str] = []
OWN = claim_id(Settings(), "identify", 3)


class LaneOnPaper:
    """Notes when it takes its id, commits and stops."""

    def __init__(self, settings: Any, transactional_id: str) -> None:
        self.id = transactional_id

    async def start(self) -> None:
        STEPS.append(f"take {self.id}")

    async def stop(self) -> None:
        STEPS.append(f"stop {self.id}")

    async def commit(self, all_said: list[Any]) -> None:
        STEPS.extend(f"{self.id} names {said.meta.owner}" for said in all_said)


class Reader:
    """A store that names these owners, one after the other as it is read again."""

    owners: list[str]

    def __init__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self, *_: object, is_fenced: bool = False) -> Restored:
        owner = self.owners.pop(0) if len(self.owners) > 1 else self.owners[0]
        STEPS.append("read to the end" if is_fenced else f"read: {owner or 'nobody'}")
        return Restored(0, Meta(owner=owner))


@pytest.fixture(autouse=True)
def on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    STEPS.clear()
    monkeypatch.setattr(engine_claim, "Lane", LaneOnPaper)
    monkeypatch.setattr(engine_claim, "StoreReader", Reader)
    monkeypatch.setattr(engine_claim, "FAREWELL_WAIT_S", 0.05)
    monkeypatch.setattr(engine_claim, "FAREWELL_POLL_S", 0.001)


def steps_of_a_claim(*owners: str, by: str = "ours") -> list[str]:
    """Return what a claim does where the store names these owners in turn, each step once."""
    Reader.owners = list(owners)

    async def run() -> None:
        stage = IdentifyStage(Settings(), SingleObject())
        owner: Any = LaneOnPaper(None, by)
        async with Claim(Settings(), stage, 3, owner) as claim:
            restored = await claim.restore(lambda key, value: None, lambda share: None)
            await claim.commit(Meta(restored.meta.positions, owner=by))

    asyncio.run(run())
    return list(dict.fromkeys(STEPS))


def test_the_owner_has_its_id_before_the_store_names_it_and_the_dead_one_is_fenced_before() -> None:
    assert steps_of_a_claim("dead") == [
        "take ours",
        f"take {OWN}",
        "read: dead",
        "take dead",
        "stop dead",
        "read to the end",
        f"{OWN} names ours",
        f"stop {OWN}",
    ]


def test_a_farewell_is_waited_for_and_spares_the_other_from_being_fenced() -> None:
    assert steps_of_a_claim("busy", "busy", UNOWNED) == [
        "take ours",
        f"take {OWN}",
        "read: busy",
        "read: nobody",
        "read to the end",
        f"{OWN} names ours",
        f"stop {OWN}",
    ]


@pytest.mark.parametrize("known", [UNOWNED, "ours", OWN])
def test_who_cannot_commit_any_more_is_not_waited_for(known: str) -> None:
    assert f"take {known}" not in steps_of_a_claim(known)[2:]


def test_beside_the_release_before_the_id_of_the_claim_is_taken_once_and_kept() -> None:
    assert steps_of_a_claim(UNOWNED, by=OWN) == [
        f"take {OWN}",
        "read: nobody",
        "read to the end",
        f"{OWN} names {OWN}",
    ]


def test_a_lane_that_was_given_up_does_not_take_its_id_again() -> None:
    async def run() -> None:
        lane = Lane(Settings(), "given-up")
        await lane.stop()
        with pytest.raises(FencedError, match="given-up was given up"):
            await lane.start()

    asyncio.run(run())
