"""Which account a lead belongs to: by the CRM, by a group that an event names, or by its domain.

What the CRM says counts before a group, and a group before the domain of an address; among words of
one kind the latest, by when it was said. Which domains are a company's is a matter of the version
that hears them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from leadstream.schemas.addresses import DOMAIN_FACT
from leadstream.schemas.decisions import Membership
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.criteria import unknown
from leadstream.streams.domain.identity import emails_in
from leadstream.streams.domain.identity_rules import NO_IDS
from leadstream.streams.domain.mail_domains import company_domain, is_free_mail
from leadstream.streams.domain.model_accounts import AccountRules
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import AccountWord

GROUP_FACT: Final = "group_id"
"""The property by which an event names the group of its lead."""
CRM: Final = "crm"
GROUP: Final = "group"
DOMAIN: Final = "domain"
_RANKS: Final = (CRM, GROUP, DOMAIN)
MOST_CHARACTERS: Final = 256
"""That are kept of an account's id; a domain has no more."""


@dataclass(frozen=True)
class CompiledAccounts:
    """A model's section on accounts, ready for the fold.

    Attributes:
        attribute: by which the CRM names an account.
        free_mail, companies: what the model says of domains, which counts before the lists.
        buying_group: personas that an account needs.
        score_step: by how much a score moves before the account is told.
        reads: what expressions of the model read of accounts, by the variables' names.
        is_told: False: words are heard for another version, and this one tells no account.
    """

    attribute: str
    free_mail: frozenset[str]
    companies: frozenset[str]
    buying_group: list[str]
    score_step: float
    reads: frozenset[str]
    is_told: bool


def hearing(accounts: CompiledAccounts) -> CompiledAccounts:
    """Return the section for a version without one, which hears for a version that has it."""
    return replace(accounts, reads=frozenset(), is_told=False)


def compile_accounts(
    rules: AccountRules | None, reads: frozenset[str] = frozenset()
) -> CompiledAccounts | None:
    """Return the section ready for use; None where the model has none.

    Args:
        reads: what expressions of the model read of accounts.
    """
    if rules is None:
        return None
    return CompiledAccounts(
        rules.attribute,
        frozenset(rules.free_mail),
        frozenset(company_domain(domain) or domain for domain in rules.companies),
        list(dict.fromkeys(rules.buying_group)),
        rules.score_step,
        reads,
        is_told=True,
    )


def account_faults(rules: AccountRules | None, personas: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the section, each with its place."""
    if rules is None:
        return
    for domain in rules.companies:
        if domain in rules.free_mail:
            yield f'accounts.companies: "{domain}" is under free_mail too; leave it in one of them'
    for field, domains in (("free_mail", rules.free_mail), ("companies", rules.companies)):
        for domain in domains:
            if company_domain(domain) is None:
                yield f'accounts.{field}: "{domain}" is no domain; write it as in acme.co.uk'
    for persona in rules.buying_group:
        if not personas:
            yield (
                f'accounts.buying_group: "{persona}" is no persona: the model has none; name them '
                "under nurture.personas"
            )
        elif persona not in personas:
            yield f"accounts.buying_group: {unknown('persona', persona, personas)}"


def hear_account(
    state: FoldState,
    accounts: CompiledAccounts,
    event: Touchpoint | CrmEvent,
    said_at: EpochMs,
) -> None:
    """Note what an event says of its lead's account.

    Args:
        said_at: when it was said, wherever the event counts.
    """
    if isinstance(event, CrmEvent):
        facts, rank, told = event.attributes, CRM, event.attributes.get(accounts.attribute)
    else:
        facts, rank, told = event.properties, GROUP, event.properties.get(GROUP_FACT)
    if told is not None:
        found = told.strip()[:MOST_CHARACTERS]
        if found.lower() not in NO_IDS and found.isprintable():
            _note(state, rank, found, said_at)
    domain = _domain_in(event, facts, accounts)
    if domain is not None:
        _note(state, DOMAIN, domain, said_at)
    forget_other(state, account_of(state, accounts))


def forget_other(state: FoldState, account: str | None) -> None:
    """Forget what another account told than the one that a lead is in."""
    if state.account_now is not None and state.account_now.id != account:
        state.account_now = None


def account_of(state: FoldState, accounts: CompiledAccounts) -> str | None:
    """Return the id of a lead's account; None where it has none."""
    words = state.account_words
    if not words or not accounts.is_told:
        return None
    for rank in _RANKS:
        word = words.get(rank)
        if word is None or not word.id:
            continue
        if rank != DOMAIN or _is_company(accounts, word.id):
            return f"{rank}:{word.id}"
    return None


def membership_of(state: FoldState, accounts: CompiledAccounts) -> Membership | None:
    """Return a lead's account as others read it."""
    found = account_of(state, accounts)
    return None if found is None else Membership(id=found, buying_group=accounts.buying_group)


def _domain_in(
    event: Touchpoint | CrmEvent, facts: dict[str, str], accounts: CompiledAccounts
) -> str | None:
    """Return the company's domain that an event states; what is none says nothing."""
    hosts = [address.rpartition("@")[2] for address in emails_in(event) if "@" in address]
    kept = facts.get(DOMAIN_FACT)
    if kept is not None:
        hosts.append(kept)
    for host in hosts:
        domain = company_domain(host)
        if domain is not None and _is_company(accounts, domain, host.strip().lower()):
            return domain
    return None


def _is_company(accounts: CompiledAccounts, domain: str, host: str = "") -> bool:
    if domain in accounts.companies:
        return True
    if domain in accounts.free_mail or host in accounts.free_mail:
        return False
    return not is_free_mail(host, domain)


def _note(state: FoldState, rank: str, account_id: str, said_at: EpochMs) -> None:
    known = state.account_words.get(rank)
    # Of two words at one instant the greater text holds, so that no id of an event decides.
    if known is None or (known.at, known.id) < (said_at, account_id):
        # Shared with what was said: never changed in place.
        state.account_words = {**state.account_words, rank: AccountWord(account_id, said_at)}
