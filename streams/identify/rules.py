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
    """Return who says who it is, as the settings have it."""
    return StatedIdentity(identity_rules(settings), hider_of(settings))


def identity_rules(settings: Settings) -> IdentityRules:
    """Return the shipped rules with what the settings add."""
    return IdentityRules(
        blocked_ids=NO_IDS | _words(settings.identity_blocked_ids),
        shared_mailboxes=SHARED_MAILBOXES | _words(settings.identity_shared_mailboxes),
        identifying=IDENTIFYING | _words(settings.identity_types),
        provider_rules=settings.identity_provider_rules,
        joins=settings.is_joining,
    )


def _words(listed: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in listed.split(",") if word.strip())
