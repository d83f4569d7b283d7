"""The lifecycle offline: a log of events in, what holds of every lead out. No Kafka, no clock.

It is the oracle of the live system: the same events give the same effective decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.decisions import AccountState, LeadState
from leadstream.schemas.events import CrmEvent, EpochMs, LeadEvent, Touchpoint
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.erasure import erase, erasure_of
from leadstream.streams.domain.kept import Standing
from leadstream.streams.domain.lead import (
    Change,
    LeadRecord,
    Limits,
    Saying,
    absorb,
    new_record,
)
from leadstream.streams.domain.link_records import (
    AccountLink,
    Link,
    decode_account_link,
    decode_link,
)
from leadstream.streams.domain.settling import PAST_MAX_EVENTS
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import Told
from leadstream.streams.domain.view import view
from leadstream.streams.engine.processor import BatchResult, Output
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.lifecycle.accounts import (
    Accounts,
    account_in,
    say_forgotten,
    say_standing,
)
from leadstream.streams.lifecycle.identities import Identities
from leadstream.streams.lifecycle.joins import Joins


class Effective:
    """What holds, given everything that was said so far, in any order of leads."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Told]] = {}

    def hear(self, saying: Saying) -> None:
        decision = saying.decision
        if isinstance(decision, Standing):
            return
        held = self._of.setdefault(decision.lead_id, {})
        if saying.change is Change.RETRACTED:
            held.pop(decision.id, None)
        elif saying.change is not Change.MOVED:
            held[decision.id] = decision

    def forget(self, lead_id: str) -> None:
        """Hear that a lead was erased: what holds of it is said after this."""
        self._of.pop(lead_id, None)

    def decisions(self) -> list[Told]:
        """Return what holds in (time, id) order."""
        held = chain.from_iterable(found.values() for found in self._of.values())
        return sorted(held, key=lambda d: (d.occurred_at, d.id))


@dataclass
class _Visit:
    """What a lead is told at a time."""

    lead_id: str
    events: list[LeadEvent] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


class _Waiting:
    """What leads and accounts are still to be told, in the order in which that began.

    Whoever is told several things hears them at once, as in a batch: else answers to answers would
    multiply.
    """

    def __init__(self, first: _Visit) -> None:
        self._visits: dict[bytes, _Visit] = {first.lead_id.encode(): first}
        self._of_accounts: dict[bytes, list[AccountLink]] = {}

    def __bool__(self) -> bool:
        return bool(self._visits or self._of_accounts)

    def add(self, output: Output) -> None:
        """Take what a processor says to another."""
        key, value = output.key or b"", output.value or b""
        account = account_in(key)
        if account is None:
            self._visit(key.decode()).links.append(decode_link(value))
        else:
            self._of_accounts.setdefault(account, []).append(decode_account_link(value))

    def erase(self, lead_id: str, at: EpochMs) -> None:
        """Let an erasure reach another id."""
        self._visit(lead_id).events.append(erasure_of(lead_id, at))

    def lead(self) -> _Visit | None:
        """Return whom to visit next among leads."""
        return self._visits.pop(next(iter(self._visits))) if self._visits else None

    def account(self) -> tuple[bytes, list[AccountLink]]:
        """Return which account to visit next, and what it is told."""
        account = next(iter(self._of_accounts))
        return account, self._of_accounts.pop(account)

    def _visit(self, lead_id: str) -> _Visit:
        return self._visits.setdefault(lead_id.encode(), _Visit(lead_id))


class Replay:
    """Folds a log event by event, as the lifecycle stage would."""

    def __init__(
        self,
        models: ModelSet,
        limits: Limits | None = None,
        resolver: StatedIdentity | None = None,
        hider: AddressHider | None = None,
    ) -> None:
        self._models = models
        self._resolver = resolver or StatedIdentity(hider=hider)
        past_max_events = PAST_MAX_EVENTS if self._resolver.joining else 0
        self._limits = limits or Limits(past_max_events=past_max_events)
        self._hider = hider
        self._records: dict[str, LeadRecord] = {}
        self._identities = Identities()
        self._joins = Joins(self._identities)
        self._accounts = Accounts()
        self._account_states: dict[bytes, AccountState] = {}
        self._latest: EpochMs = 0
        self.effective = Effective()

    def feed(
        self, event: Touchpoint | CrmEvent, *, topic: str = "", offset: int = -1
    ) -> tuple[list[LeadEvent], list[Saying]]:
        """Fold one event; return it under its leads, and what was said.

        Raises:
            DecodeError: the event cannot be accepted; it has changed nothing.
        """
        stated = event
        if self._hider is not None:
            event = self._hider.event(stated)
        accepted = accept(
            event, self._resolver, topic=topic, partition=0, offset=offset, stated=stated
        )
        sayings: list[Saying] = []
        for lead_event in accepted:
            self._latest = max(self._latest, lead_event.occurred_at)
            sayings += self._take(_Visit(lead_event.lead_id, [lead_event]))
        lead_id, at = accepted[0].lead_id, accepted[0].occurred_at
        claims, merges = self._resolver.ties_of(event, lead_id, at, stated)
        for key, claimed in claims:
            sayings += self._take(_Visit(key, links=[claimed]))
        for merge in merges:
            for merged, link in self._identities.merge(merge, BatchResult()).items():
                sayings += self._take(_Visit(merged, links=[link]))
        return accepted, sayings

    def erase(self, erased: Mapping[str, EpochMs]) -> None:
        """Erase leads up to their instants, as a log does that holds their erasures."""
        for lead_id, at in erased.items():
            self._take(_Visit(lead_id, [erasure_of(lead_id, at)]))

    def erased(self) -> dict[str, EpochMs]:
        """Return the leads that were erased, and up to when."""
        erased = {lead_id: record.erased_at for lead_id, record in self._records.items()}
        return {lead_id: at for lead_id, at in erased.items() if at > -NEVER_MS}

    def finish(self, until: EpochMs | None = None) -> list[Saying]:
        """Let everything happen that is due up to `until`; by default, the latest event's time."""
        now = self._latest if until is None else until
        sayings = []
        # What falls due for one may be told to another that was there already: it comes again.
        for lead_id in list(self._records):
            sayings += self._take(_Visit(lead_id), now)
        return sayings

    def states(self) -> Iterator[LeadState]:
        """Give the state of every lead that is known, and not erased since."""
        for lead_id, record in self._records.items():
            is_left = record.is_joined and record.revision and record.erased_at == -NEVER_MS
            if record.head.event_count or is_left:
                links = self._identities.links_of(lead_id.encode())
                yield view(record, self._models, links)

    def account_states(self) -> Iterator[AccountState]:
        """Give the state of every account that has a lead."""
        yield from self._account_states.values()

    def _take(self, visit: _Visit, now: EpochMs = 0) -> list[Saying]:
        """Fold what a lead is told, and all to which that leads: erasures, moves, its account."""
        sayings: list[Saying] = []
        waiting = _Waiting(visit)
        while waiting:
            next_lead = waiting.lead()
            if next_lead is None:
                self._visit_account(*waiting.account(), waiting)
            else:
                sayings += self._visit_lead(next_lead, now, waiting)
        return sayings

    def _visit_lead(self, visit: _Visit, now: EpochMs, waiting: _Waiting) -> list[Saying]:
        record, key, events = self._record(visit.lead_id), visit.lead_id.encode(), visit.events
        result = BatchResult()
        joining = self._joins.hear(key, record, events, visit.links, result)
        stood_in = record.head.stood_in
        erasure = erase(record, events)
        if erasure is not None:
            for other in erasure.others:
                waiting.erase(other, erasure.at)
            if erasure.took:
                result.outputs += say_forgotten(visit.lead_id, stood_in)
                self.effective.forget(visit.lead_id)
        said = absorb(record, events, self._models, self._limits, now)
        for saying in said:
            self.effective.hear(saying)
            if isinstance(saying.decision, Standing):
                result.outputs += say_standing(saying, saying.decision)
        self._identities.keep_past(key, record, result)
        if joining is not None:
            self._joins.give(key, record, events, joining, result)
        for output in result.outputs:
            waiting.add(output)
        return said

    def _visit_account(self, account: bytes, links: list[AccountLink], waiting: _Waiting) -> None:
        result = BatchResult()
        for state in self._accounts.hear(account, links, self._models, result):
            if state is None:
                self._account_states.pop(account, None)
            else:
                self._account_states[account] = state
        for output in result.outputs:
            waiting.add(output)

    def _record(self, lead_id: str) -> LeadRecord:
        record = self._records.get(lead_id)
        if record is None:
            record = self._records[lead_id] = new_record(lead_id)
        return record


def replay(
    events: Iterable[Touchpoint | CrmEvent], models: ModelSet, until: EpochMs | None = None
) -> Replay:
    """Return the replay of a whole log; events that nobody could accept are left out.

    They are those that the live system sends to the dead-letter topic.
    """
    run = Replay(models)
    for event in events:
        try:
            run.feed(event)
        except DecodeError:
            continue
    run.finish(until)
    return run
