"""Hides addresses where events come in, and holds a partition's store to the key it began with.

Another key would give every person of whom only the address is known a new id, and every address a
second text; so it is refused unless somebody says that it is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.input_records import InputRecords
from leadstream.streams.engine.faults import SetupError
from leadstream.streams.engine.processor import Record

KEY_OF_STORE: Final = b"\x00email_key"
"""Holds the fingerprint of the key; no lead's or visitor's key begins with a zero byte."""
_WRITTEN_AS_JSON: Final = b"{"

Decode = Callable[[Record], Touchpoint | CrmEvent]


class KeyGuard:
    """What one partition's store says of the key."""

    def __init__(self, hider: AddressHider | None, replaces: str | None) -> None:
        self._ours = None if hider is None else hider.fingerprint
        self._replaces = replaces
        self._kept: str | None = None
        self._is_checked = False

    def restore(self, key: bytes, value: bytes | None) -> bool:
        """Take a record of the store, if it is ours."""
        if key != KEY_OF_STORE:
            return False
        self._kept = None if value is None else value.decode()
        return True

    def check(self) -> dict[bytes, bytes | None]:
        """Return what is to be stored before the first batch.

        Raises:
            SetupError: the store was written with another key.
        """
        if self._is_checked:
            return {}
        if self._kept is not None and self._kept not in (self._ours, self._replaces):
            given = "none is given" if self._ours is None else f"the one given has {self._ours}"
            raise SetupError(
                f"addresses were hidden with the email_key of fingerprint {self._kept}, and "
                f"{given}: put the key back; or, to give people of whom only the address is known "
                f"new ids from now on, set email_key_replaces to {self._kept}"
            )
        self._is_checked = True
        if self._kept == self._ours:
            return {}
        self._kept = self._ours
        return {KEY_OF_STORE: None if self._ours is None else self._ours.encode()}


def refused_record(record: Record, inputs: InputRecords, decode: Decode) -> Record:
    """Return a refused record without addresses; what can be read stays readable.

    What cannot is left to the dead letters, where addresses are blanked.
    """
    value = record.value
    if not value or value.lstrip().startswith(_WRITTEN_AS_JSON):
        return record
    try:
        hidden = inputs.of(decode(record)).value
    except Exception:
        return record
    return Record(
        record.topic, record.partition, record.offset, record.timestamp_ms, record.key, hidden,
        record.headers,
    )  # fmt: skip
