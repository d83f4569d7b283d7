"""Figures as people read them: one way each, for the page and its charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from math import isfinite
from typing import Any, Final

ABSENT: Final = "–"  # noqa: RUF001  an en dash says that there is nothing
_HOUR_S: Final = 3600


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: 1 lead, 2 leads."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return ABSENT if share is None else f"{share:.1%}"


def hours(found: float | None) -> str:
    """Return hours, as minutes, hours or days, as is easiest to read."""
    if found is None:
        return ABSENT
    if found < 1:
        return f"{round(found * 60)} min"
    if found < 48:
        return f"{found:.1f} h"
    return f"{found / 24:.1f} d" if found < 240 else f"{found / 24:,.0f} d"


def money(amount: Decimal | None, currency: str = "") -> str:
    """Return an amount in whole units."""
    if amount is None:
        return ABSENT
    whole = amount.quantize(Decimal(1), ROUND_HALF_EVEN)
    return f"{whole:,} {currency}".rstrip()


def day(found: date) -> str:
    """Return a day: 3 March 2026."""
    return f"{found.day} {found:%B %Y}"


def instant(found: datetime) -> str:
    """Return an instant, in UTC, to the minute."""
    return f"{day(found)}, {found:%H:%M} UTC"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names in a sentence; what exceeds `most` is counted."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def cell(value: Any, kind: str) -> str:
    """Return a value of a table.

    Args:
        kind: text, code, shown (as it is, but a number), count, number, lift, share, seconds,
            hours, money, month or instant.
    """
    if value is None or value == "":
        return ABSENT
    if kind == "share":
        return percent(value)
    if kind == "hours":
        return hours(value)
    if kind == "seconds":
        return hours(value / _HOUR_S)
    if kind == "money":
        return money(value)
    if kind == "month":
        return f"{value:%b %Y}"
    if kind == "instant":
        return f"{value:%Y-%m-%d %H:%M}"
    if kind == "count":
        return f"{value:,}"
    if kind == "lift":
        return f"{value:.2f}" if isfinite(value) else "∞"
    if kind == "number":
        return f"{value:,.1f}"
    return str(value)
