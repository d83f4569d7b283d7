"""What hides e-mail addresses as the settings ask for it."""

from __future__ import annotations

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.settings import Settings


def hider_of(settings: Settings) -> AddressHider | None:
    """Return what hides addresses; None where the settings have no key."""
    if settings.email_key is None:
        return None
    return AddressHider(settings.email_key.get_secret_value(), settings.email_keep_domain)
