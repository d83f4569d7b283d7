"""The rules of identity, and who goes by them, as the settings have it."""

from __future__ import annotations

from leadstream.schemas.email_key import hider_of
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.identity_rules import (
    IDENTIFYING,
    NO_IDS,
    SHARED_MAILBOXES,
    IdentityRules,
)
from leadstream.streams.identify.resolver import StatedIdentity


def resolver_of(settings: Settings) -> StatedIdentity:
    """Return who says which ids are one person's, wherever events become leads."""
    return StatedIdentity(identity_rules(settings), hider_of(settings))


def identity_rules(settings: Settings) -> IdentityRules:
    """Return the shipped rules with what the settings add."""
    return IdentityRules(
        blocked_ids=NO_IDS | _words(settings.identity_blocked_ids),
        shared_mailboxes=SHARED_MAILBOXES | _words(settings.identity_shared_mailboxes),
        identifying=IDENTIFYING | _words(settings.identity_types),
        provider_rules=settings.identity_provider_rules,
        # Workers of release 0.1 read `lead.events` too, and know nothing of links.
        joins=settings.identity_joins and settings.store_format > 1,
    )


def _words(listed: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in listed.split(",") if word.strip())
