"""The accounts whose key is in one partition: how their leads stand, and what is told of that.

A lead's standings come from its own partition as control records, are retracted like other
decisions, and make, as a set, what the account is. Where criteria read accounts, the leads are
given events of it, and these are taken back, through what moves events between ids (joins.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.decisions import AccountState
from leadstream.schemas.headers import CONTROL_LINK
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.giving import MOST_IDS, parts_of
from leadstream.streams.domain.kept import Standing, TailEvent
from leadstream.streams.domain.link_records import (
    AccountLink,
    Forgotten,
    Moved,
    Stood,
    Unsaid,
    Withdrawn,
    decode_account_link,
    encode_link,
)
from leadstream.streams.domain.rollups import MOST_TOLD, state_of, told_events
from leadstream.streams.domain.saying import TAKING_BACK, Saying
from leadstream.streams.domain.standings import ACCOUNT
from leadstream.streams.engine.processor import BatchResult, Output, Record
from leadstream.streams.lifecycle.joins import say_link

log = logging.getLogger(__name__)

ACCOUNT_KEY: Final = b"\x00account:"
"""Begins the key of an account on `lead.events` and in the store; no lead id begins so."""
_AND: Final = b"\x00"
"""Between an account and its lead in a store key; no id of an account holds it."""


class _Member(msgspec.Struct, array_like=True):
    """What is kept of a lead. Fields are only ever added, at the end and with a default.

    Attributes:
        told: ids of the events that it was given.
    """

    standings: list[Standing]
    told: list[str] = []


class _Said(msgspec.Struct, array_like=True):
    """What was said of an account last; `state` is None after it had lost its last lead."""

    revision: int
    state: AccountState | None = None


class Accounts:
    """The accounts of one partition."""

    def __init__(self) -> None:
        self._members: dict[bytes, dict[str, bytes]] = {}
        self._said: dict[bytes, bytes] = {}
        self._crowded: set[bytes] = set()

    def restore(self, key: bytes, value: bytes | None) -> bool:
        """Take a store record; False where it is none of an account."""
        if not key.startswith(ACCOUNT_KEY):
            return False
        account, is_of_lead, lead_id = key.removeprefix(ACCOUNT_KEY).partition(_AND)
        if is_of_lead:
            self._keep_member(account, lead_id.decode(), value)
        elif value is None:
            self._said.pop(account, None)
        else:
            self._said[account] = value
        return True

    def hear(
        self, account: bytes, links: Iterable[AccountLink], models: ModelSet, result: BatchResult
    ) -> list[AccountState | None]:
        """Take how leads stand, and tell them what has become of their account.

        Returns:
            What is to be said of the account: nothing where it is as before, None where it has no
            lead any more.
        """
        kept = self._members.get(account, {})
        members = {lead_id: _decode_member(value) for lead_id, value in kept.items()}
        touched: set[str] = set()
        for link in links:
            touched.add(_take(members, link))
        name = account.decode()
        if models.reads_accounts or any(member.told for member in members.values()):
            touched |= self._tell(name, members, models, result)
        for lead_id in touched:
            member = members[lead_id]
            value = _encode(member) if member.standings or member.told else None
            self._keep_member(account, lead_id, value)
            result.store[ACCOUNT_KEY + account + _AND + lead_id.encode()] = value
        return self._news(account, members, models, result)

    def _tell(
        self, account: str, members: dict[str, _Member], models: ModelSet, result: BatchResult
    ) -> set[str]:
        """Give leads the events that they have not, and take back what holds no more.

        Returns:
            Whom something was told.
        """
        after: dict[str, dict[str, TailEvent]] = {}
        if models.reads_accounts:
            standings = {lead_id: member.standings for lead_id, member in members.items()}
            after, untold = told_events(account, standings, models)
            self._say_crowded(account, untold)
        touched = set()
        for lead_id, member in members.items():
            events = after.get(lead_id, {})
            known = set(member.told)
            gone = [event_id for event_id in member.told if event_id not in events]
            new = [entry for event_id, entry in events.items() if event_id not in known]
            if not gone and not new:
                continue
            touched.add(lead_id)
            member.told = list(events)
            for start in range(0, len(gone), MOST_IDS):
                say_link(lead_id, Withdrawn(ACCOUNT, gone[start : start + MOST_IDS]), result)
            for part in parts_of(new):
                say_link(lead_id, Moved(ACCOUNT, part), result)
        return touched

    def _say_crowded(self, account: str, untold: int) -> None:
        if not untold:
            self._crowded.discard(account.encode())
        elif account.encode() not in self._crowded:
            self._crowded.add(account.encode())
            log.warning(
                "account %s has %d leads that are told nothing of it: criteria on accounts see "
                "none there, since only the first %d leads of an account are told",
                account,
                untold,
                MOST_TOLD,
            )

    def _news(
        self, account: bytes, members: dict[str, _Member], models: ModelSet, result: BatchResult
    ) -> list[AccountState | None]:
        value = self._said.get(account)
        said = _Said(0) if value is None else _decode_said(value)
        standings = {lead_id: member.standings for lead_id, member in members.items()}
        now = state_of(account.decode(), standings, models, said.revision)
        if now == said.state:
            return []
        revision = said.revision + 1
        if now is not None:
            now = msgspec.structs.replace(now, revision=revision)
        encoded = _encode(_Said(revision, now))
        self._said[account] = encoded
        result.store[ACCOUNT_KEY + account] = encoded
        return [now]

    def _keep_member(self, account: bytes, lead_id: str, value: bytes | None) -> None:
        if value is not None:
            self._members.setdefault(account, {})[lead_id] = value
            return
        members = self._members.get(account)
        if members is not None:
            members.pop(lead_id, None)
            if not members:
                del self._members[account]


def _take(members: dict[str, _Member], link: AccountLink) -> str:
    """Take what is told of a lead; return its id."""
    lead_id = link.standing.lead_id if isinstance(link, Stood) else link.lead_id
    member = members.setdefault(lead_id, _Member([]))
    if isinstance(link, Forgotten):
        member.standings = []
        return lead_id
    gone = link.standing.id if isinstance(link, Stood) else link.id
    member.standings = [standing for standing in member.standings if standing.id != gone]
    if isinstance(link, Stood):
        member.standings.append(link.standing)
    return lead_id


def account_in(key: bytes) -> bytes | None:
    """Return the account that a record's key is of; None: it is another's."""
    return key.removeprefix(ACCOUNT_KEY) if key.startswith(ACCOUNT_KEY) else None


def account_link_of(record: Record) -> AccountLink:
    """Return what a record tells an account; raises DecodeError where it says nothing known."""
    try:
        return decode_account_link(record.value or b"")
    except msgspec.DecodeError as error:
        raise DecodeError("bad_link", f"not what processors tell each other: {error}") from None


def say_standing(saying: Saying, standing: Standing) -> Iterator[Output]:
    """Give what accounts are told of a standing that is said, or taken back."""
    link: AccountLink
    if saying.change in TAKING_BACK:
        link = Unsaid(standing.lead_id, standing.id)
    else:
        link = Stood(standing)
    for account in standing.told:
        yield _to_account(account, link)


def say_forgotten(lead_id: str, accounts: Sequence[str]) -> Iterator[Output]:
    """Give what accounts are told of a lead that was erased."""
    for account in accounts:
        yield _to_account(account, Forgotten(lead_id))


def _to_account(account: str, link: AccountLink) -> Output:
    key = ACCOUNT_KEY + account.encode()
    return Output(topics.LEAD_EVENTS, key, encode_link(link), (CONTROL_LINK,))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_member: Final = msgspec.msgpack.Decoder(_Member).decode
_decode_said: Final = msgspec.msgpack.Decoder(_Said).decode
