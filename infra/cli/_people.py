"""People named by their e-mail address, in commands that take a lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leadstream.infra.cli import UserError
from leadstream.schemas.addresses import spelled
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.identity import lead_of_email

if TYPE_CHECKING:
    from leadstream.sinks.clickhouse import ClickHouse

LEADS_SHOWN: Final = 10


def is_address(text: str) -> bool:
    """Say whether a lead is named by an address."""
    return "@" in text


def lead_of_address(settings: Settings, client: ClickHouse | None, address: str) -> str:
    """Return the lead that an address belongs to; the one derived from it where none is known.

    Args:
        client: None: only the derived one can be told.
    Raises:
        UserError: it belongs to several; the message names them.
    """
    from leadstream.sinks.people import leads_of_address

    hider = hider_of(settings)
    kept = spelled(address) if hider is None else hider.address(address)
    if client is not None:
        found = leads_of_address(client, sorted({kept, spelled(address)}))
        if len(found) > 1:
            shown = ", ".join(found[:LEADS_SHOWN])
            raise UserError(f"{len(found)} leads state that address: name one of them: {shown}")
        if found:
            return found[0]
    return lead_of_email(kept)
