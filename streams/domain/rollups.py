"""What is known of an account, from how each of its leads stands: now, and at every instant.

A lead that was absorbed by a merge counts at no instant: it is one person with another lead. All
sums are of whole numbers, so that no order of leads or events makes a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec.structs import replace

from leadstream.schemas.decisions import AccountState
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.domain.accounts import CompiledAccounts
from leadstream.streams.domain.compiled import TICKS, ModelSet
from leadstream.streams.domain.kept import Standing, TailEvent
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.standings import told_event
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.state_parts import AccountNow
from leadstream.streams.domain.stored import tail_event

_K = TypeVar("_K", str, int)

MOST_TOLD: Final = 500
"""Leads of an account that are told what it has become: those that came first."""
MOST_HOPS: Final = 4
"""So often an account tells what follows from what it told a millisecond before.

It ends what would go on for ever: where what an account was told is taken back, leads that each
stand so because of the other would else pass it on and on, a millisecond later each time.
"""
_LADDER: Final = (
    "anonymous", "disqualified", "lost", "nurture", "known", "engaged", "mql", "sal", "sql",
    "opportunity", "customer",
)  # fmt: skip
"""Stages from the least to the furthest; beside the main line less than anybody on it."""
_RANK: Final = {stage: rank for rank, stage in enumerate(_LADDER)}
_ENGAGED: Final = frozenset(_LADDER[_LADDER.index("engaged") :])
_TURNED_DOWN: Final = frozenset({"disqualified", "lost"})
_MERGED: Final = Stage.MERGED.value
_ANONYMOUS: Final = Stage.ANONYMOUS.value

Standings = Mapping[str, Sequence[Standing]]
"""Per lead, how it stood, in any order."""


@dataclass(frozen=True)
class Change:
    """What an account became at an instant, after so many hops; see `Standing`."""

    at: EpochMs
    now: AccountNow
    hops: int


class Sums:
    """What leads that stand in an account come to together; leads come and go."""

    def __init__(self) -> None:
        self.engagement = 0
        self._stages = [0] * len(_LADDER)
        self._fits: dict[int, int] = {}
        self._personas: dict[str, int] = {}

    def add(self, standing: Standing, by: int = 1) -> None:
        """Count a lead that stands so; -1: no more."""
        stage = standing.stage
        self._stages[_RANK[stage]] += by
        if stage in _ENGAGED and standing.persona:
            _count(self._personas, standing.persona, by)
        if stage not in _TURNED_DOWN:
            self.engagement += by * round(standing.engagement * TICKS)
            _count(self._fits, round(standing.fit * TICKS), by)

    @property
    def visitors(self) -> int:
        return self._stages[_RANK[_ANONYMOUS]]

    @property
    def people(self) -> int:
        return sum(self._stages) - self.visitors

    @property
    def engaged_people(self) -> int:
        return sum(self._stages[_RANK["engaged"] :])

    @property
    def stage(self) -> str:
        """The stage of the lead that stands furthest; empty without any."""
        for rank in range(len(_LADDER) - 1, -1, -1):
            if self._stages[rank]:
                return _LADDER[rank]
        return ""

    @property
    def fit(self) -> int:
        return max(self._fits, default=0)

    def has(self, persona: str) -> bool:
        """Say whether an engaged lead has a persona."""
        return persona in self._personas


class AccountSums:
    """The accounts of leads that are told one by one, each as it stands in the end."""

    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {}
        self._as_of: dict[str, EpochMs] = {}
        self._revision: dict[str, int] = {}

    def add(self, last: Standing, revision: int = 0) -> None:
        """Count a lead in its account; one that was absorbed is nobody's.

        Args:
            revision: by how much the account's revision grows.
        """
        account = last.account
        if not account or last.stage == _MERGED:
            return
        self._sums.setdefault(account, Sums()).add(last)
        self._as_of[account] = max(last.occurred_at, self._as_of.get(account, -NEVER_MS))
        self._revision[account] = self._revision.get(account, 0) + revision

    def states(self, models: ModelSet) -> Iterator[AccountState]:
        """Give the state of every account that has a lead."""
        for account, sums in self._sums.items():
            as_of = self._as_of[account]
            model = models.at(as_of)
            wanted = [] if model.accounts is None else model.accounts.buying_group
            yield AccountState(
                account=account,
                revision=self._revision[account],
                as_of=as_of,
                people=sums.people,
                visitors=sums.visitors,
                engaged_people=sums.engaged_people,
                stage=sums.stage,
                score=(sums.engagement + sums.fit) / TICKS,
                engagement=sums.engagement / TICKS,
                fit=sums.fit / TICKS,
                model_version=model.version,
                covered=[persona for persona in wanted if sums.has(persona)],
                missing=[persona for persona in wanted if not sums.has(persona)],
                has_buying_group=bool(wanted) and all(map(sums.has, wanted)),
            )


def state_of(
    account: str, standings: Standings, models: ModelSet, revision: int
) -> AccountState | None:
    """Return what is known of an account now; None where no lead is in it."""
    sums = AccountSums()
    for found in _counting(standings):
        if found[-1].account == account:
            sums.add(found[-1])
    for state in sums.states(models):
        return replace(state, revision=revision)
    return None


def told_events(
    account: str, standings: Standings, models: ModelSet
) -> tuple[dict[str, dict[str, TailEvent]], int]:
    """Return the events by which each lead is told what its account has become, by their ids.

    Each comes a millisecond after what made it, so that what an account is at an instant depends on
    nothing that it tells then or later. Who comes to the account is told how it is.

    Returns:
        Also how many leads are told nothing, since there are more than `MOST_TOLD`.
    """
    changes = list(_changes(account, standings, models))
    stays = {lead_id: list(_stays(account, found)) for lead_id, found in standings.items()}
    first = sorted((found[0][0], lead_id) for lead_id, found in stays.items() if found)
    told: dict[str, dict[str, TailEvent]] = {}
    for _, lead_id in first[:MOST_TOLD]:
        events: dict[str, TailEvent] = {}
        for start, end, hops in stays[lead_id]:
            for change in _heard(account, changes, start, end, hops):
                entry = _entry(lead_id, change)
                events[entry.event_id] = entry
        told[lead_id] = events
    return told, len(first) - len(told)


def _heard(
    account: str, changes: Sequence[Change], start: EpochMs, end: EpochMs, hops: int
) -> Iterator[Change]:
    """Give what a lead hears that is there from `start` until `end`, and came after some hops."""
    before = [change for change in changes if change.at <= start]
    if before and before[-1].now != AccountNow(account):
        last = before[-1]
        after = last.hops if last.at == start else hops + 1
        if after <= MOST_HOPS:
            yield Change(start, last.now, after)
    for change in changes:
        if start < change.at < end:
            yield change


def _changes(account: str, standings: Standings, models: ModelSet) -> Iterator[Change]:
    """Give what criteria read of an account, each time that it has changed and is told."""
    ordered = {found[0].lead_id: found for found in _counting(standings)}
    by_instant: dict[EpochMs, list[Standing]] = {}
    for found in ordered.values():
        for standing in found:
            by_instant.setdefault(standing.occurred_at, []).append(standing)
    sums, known = Sums(), AccountNow(account)
    stands: dict[str, Standing] = {}
    for at, news in sorted(by_instant.items()):
        for standing in news:
            _move(sums, stands, standing, account)
        now = _read(account, sums, models.at(at).accounts)
        hops = 1 + max([standing.hops for standing in news])
        if now != known and hops <= MOST_HOPS:
            known = now
            yield Change(at, now, hops)


def _move(sums: Sums, stands: dict[str, Standing], standing: Standing, account: str) -> None:
    lead_id = standing.lead_id
    before = stands.pop(lead_id, None)
    if before is not None:
        sums.add(before, -1)
    if standing.account == account and standing.stage != _MERGED:
        sums.add(standing)
        stands[lead_id] = standing


def _read(account: str, sums: Sums, accounts: CompiledAccounts | None) -> AccountNow:
    """Return what expressions of a version read; of what they do not read, nothing."""
    if accounts is None:
        return AccountNow(account)
    reads, wanted = accounts.reads, accounts.buying_group
    return AccountNow(
        account,
        sums.engaged_people if "account.engaged_people" in reads else 0,
        (sums.engagement + sums.fit) / TICKS if "account.score" in reads else 0.0,
        sums.stage if "account.stage" in reads else "",
        "account.has_buying_group" in reads and bool(wanted) and all(map(sums.has, wanted)),
    )


def _stays(account: str, found: Sequence[Standing]) -> Iterator[tuple[EpochMs, EpochMs, int]]:
    """Give from when until when a lead was in an account, and after how many hops it came."""
    ordered = _in_order(found)
    if not ordered or ordered[-1].stage == _MERGED:
        return
    came: Standing | None = None
    for standing in ordered:
        if standing.account == account:
            came = standing if came is None else came
        elif came is not None:
            yield came.occurred_at, standing.occurred_at, came.hops
            came = None
    if came is not None:
        yield came.occurred_at, NEVER_MS, came.hops


def _counting(standings: Standings) -> Iterator[Sequence[Standing]]:
    """Give the standings, in order, of the leads that were not absorbed."""
    for found in standings.values():
        ordered = _in_order(found)
        if ordered and ordered[-1].stage != _MERGED:
            yield ordered


def _in_order(found: Iterable[Standing]) -> list[Standing]:
    return sorted(found, key=place_of)


def place_of(standing: Standing) -> tuple[EpochMs, str, str]:
    """Return by what the standings of a lead are ordered."""
    return standing.occurred_at, standing.place, standing.id


def _entry(lead_id: str, change: Change) -> TailEvent:
    crm = told_event(lead_id, change.at + 1, change.now, change.hops)
    event = LeadEvent(lead_id=lead_id, event_id=crm.event_id, occurred_at=crm.event_time, crm=crm)
    return tail_event(event)


def _count(counts: dict[_K, int], what: _K, by: int) -> None:
    left = counts.get(what, 0) + by
    if left:
        counts[what] = left
    else:
        del counts[what]
