"""People named by their e-mail address, in commands that take a lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leadstream.infra.cli import UserError
from leadstream.schemas.addresses import spelled
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.identify.rules import identity_rules

if TYPE_CHECKING:
    from leadstream.sinks.clickhouse import ClickHouse

LEADS_SHOWN: Final = 10


def is_address(text: str) -> bool:
    """Say whether a lead is named by an address."""
    return "@" in text


def lead_of(settings: Settings, address: str) -> str:
    """Return the id of a lead of whom only the address is known."""
    hider = hider_of(settings)
    email = identity_rules(settings).email_of(address) or spelled(address)
    return lead_of_email(email if hider is None else hider.address(email))


def lead_of_address(settings: Settings, client: ClickHouse, address: str) -> str:
    """Return the lead that states an address; the one derived from it where none does.

    Raises:
        UserError: it belongs to several; the message names them.
    """
    from leadstream.sinks.people import leads_of_address

    hider = hider_of(settings)
    kept = spelled(address) if hider is None else hider.address(address)
    found = leads_of_address(client, sorted({kept, spelled(address)}))
    if len(found) > 1:
        shown = ", ".join(found[:LEADS_SHOWN])
        raise UserError(f"{len(found)} leads state that address: name one of them: {shown}")
    return found[0] if found else lead_of(settings, address)
