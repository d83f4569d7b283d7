"""Which ids of an event say who it is, and which events join ids of one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO_IDS: Final = frozenset(
    """null none nil undefined nan n/a na anonymous unknown guest false true -1""".split()
)
"""What broken clients send where they have no id; compared without case."""
SHARED_MAILBOXES: Final = frozenset(
    """admin billing contact help hello hi hr info jobs mail marketing no-reply noreply office
    postmaster sales support team webmaster""".split()
)
"""Names before the @ that several people read."""
IDENTIFYING: Final = frozenset(
    """identify alias form_submitted demo_requested contact_sales_requested trial_started
    content_downloaded webinar_registered meeting_booked lead_created lead_updated
    lead_converted""".split()
)
"""Types at which somebody says who it is, so that all ids of the event are one person's."""
_PLUS_TAGS: Final = frozenset(
    """gmail.com googlemail.com outlook.com hotmail.com live.com icloud.com fastmail.com proton.me
    protonmail.com""".split()
)
_WITHOUT_DOTS: Final = frozenset(["gmail.com", "googlemail.com"])
_IDLE: Final = frozenset("0-{} ")


@dataclass(frozen=True)
class IdentityRules:
    """What counts as an id.

    Attributes:
        blocked_ids: are no ids, without case; beside them whatever is made of zeros only.
        shared_mailboxes: names before the @ of addresses that join nobody.
        identifying: types of events that join the ids that they state.
        joins: whether ids are joined at all.
        provider_rules: whether dots and tags that some mail providers ignore are left out.
    """

    blocked_ids: frozenset[str] = NO_IDS
    shared_mailboxes: frozenset[str] = SHARED_MAILBOXES
    identifying: frozenset[str] = IDENTIFYING
    provider_rules: bool = False
    joins: bool = True

    def id_of(self, stated: str | None) -> str | None:
        """Return a stated id without its surrounding spaces; None where it is none."""
        if stated is None:
            return None
        found = stated.strip()
        if not found or found.lower() in self.blocked_ids:
            return None
        return None if found[0] in _IDLE and _IDLE.issuperset(found) else found

    def email_of(self, stated: str | None) -> str | None:
        """Return a stated address as it is compared; None where it is none."""
        found = self.id_of(stated)
        if found is None:
            return None
        found = found.lower()
        if not self.provider_rules:
            return found
        name, at, domain = found.rpartition("@")
        if domain in _PLUS_TAGS:
            name = name.partition("+")[0]
        if domain in _WITHOUT_DOTS:
            name, domain = name.replace(".", ""), "gmail.com"
        return f"{name}{at}{domain}"

    def is_shared(self, email: str) -> bool:
        """Say whether several people read the mail of an address."""
        return email.partition("@")[0] in self.shared_mailboxes
