"""A cell's text, and what becomes of it: a time, an amount of money."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from leadstream.schemas.codec import DecodeError, parse_amount
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_EPOCH_UNITS_MS = {
    "epoch_s": Decimal(1000),
    "epoch_ms": Decimal(1),
    "epoch_us": Decimal("1e-3"),
    "epoch_ns": Decimal("1e-6"),
    "epoch_days": Decimal(86_400_000),
}

MAX_UNSCALED_BYTES = 64

_USUAL_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y")
_USUAL_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def text_of(value: Any) -> str | None:
    """Return a cell as text: JSON for what is nested, ISO 8601 for times.

    Raises:
        ValueError: it has no UTF-8 text: other bytes, or half of a surrogate pair.
    """
    if isinstance(value, str):
        # JSON can escape half a character, which no other encoding can write.
        return value if value.isascii() else value.encode().decode()
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, (dict, list)):
        return text_of(json.dumps(value, default=str, ensure_ascii=False))
    return str(value)


def time_of(text: str, formats: tuple[str, ...], zone: ZoneInfo) -> int:
    """Return epoch milliseconds; a time without an offset is in `zone`, a bare date is midnight.

    Raises:
        ValueError: no format fits, or a year outside 1900 to 2299.
    """
    for written in formats:
        try:
            moment = _moment(text, written)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
        at_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
        if not EARLIEST_MS <= at_ms <= LATEST_MS:
            raise ValueError(
                f"is in the year {moment.year}: times lie between the years 1900 and 2299"
            )
        return at_ms
    tried = " or ".join("ISO 8601" if f == "iso" else f for f in formats)
    raise ValueError(f"is not a time written as {tried}{_other_formats(text, formats)}")


def _moment(text: str, written: str) -> datetime:
    if written == "iso":
        return datetime.fromisoformat(text)
    if written in _EPOCH_UNITS_MS:
        if not _NUMBER.fullmatch(text):
            raise ValueError("no number")
        return _EPOCH + timedelta(milliseconds=int(Decimal(text) * _EPOCH_UNITS_MS[written]))
    return datetime.strptime(text, written)  # noqa: DTZ007  the caller adds the zone


def _other_formats(text: str, tried: tuple[str, ...]) -> str:
    if _NUMBER.fullmatch(text):
        likely = ["epoch_s" if len(text.partition(".")[0]) <= 10 else "epoch_ms"]
    else:
        likely = ["iso"] if _fits(text, "iso") else []
        likely += [d + c for d in _USUAL_DAYS for c in _USUAL_CLOCKS if _fits(text, d + c)]
    fits = " or ".join(f'"{written}"' for written in likely if written not in tried)
    return f"; format: {fits} would fit" if fits else ""


def _fits(text: str, written: str) -> bool:
    try:
        _moment(text, written)
    except ValueError:
        return False
    return True


def amount_of(text: str, decimal: str) -> Decimal:
    """Return money with two decimals; the separator that is not `decimal` may group thousands.

    Raises:
        ValueError: not a number written so.
    """
    other = "," if decimal == "." else "."
    plain = _AMOUNTS[decimal].fullmatch(text)
    if plain is None:
        swapped = _AMOUNTS[other].fullmatch(text) is not None
        hint = f'; decimal: "{other}" would fit' if swapped else "; write digits only, no currency"
        raise ValueError(f"is not an amount{hint}")
    digits = re.sub(rf"[ \u00a0\u202f'{re.escape(other)}]", "", text).replace(decimal, ".")
    try:
        return parse_amount(digits)
    except DecodeError as error:
        raise ValueError(f"cannot be kept: {error}") from None


def unscaled_amount_of(text: str, scale: int) -> Decimal:
    """Return money from the base64 of an unscaled number; raises as `amount_of`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64: a number that is written out needs no scale") from None
    try:
        return parse_amount(unscaled(raw, scale))
    except DecodeError as error:
        raise ValueError(f"cannot be kept: {error}") from None


def unscaled(raw: bytes, scale: int) -> Decimal:
    """Return the number of which these are the big-endian two's complement bytes, unscaled.

    Raises:
        ValueError: it has more bytes than any amount.
    """
    if len(raw) > MAX_UNSCALED_BYTES:
        raise ValueError(f"is a number of {len(raw)} bytes")
    number = int.from_bytes(raw, "big", signed=True)
    digits = tuple(map(int, str(abs(number))))
    return Decimal((int(number < 0), digits, -scale))


def _amount_pattern(decimal: str, group: str) -> re.Pattern[str]:
    groups = rf"[ \u00a0\u202f'{re.escape(group)}]"
    return re.compile(
        rf"[+-]?(?:[0-9]+|[0-9]{{1,3}}(?:{groups}[0-9]{{3}})+)(?:{re.escape(decimal)}[0-9]*)?"
        rf"|[+-]?{re.escape(decimal)}[0-9]+"
    )


_AMOUNTS = {".": _amount_pattern(".", ","), ",": _amount_pattern(",", ".")}
