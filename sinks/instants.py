"""Instants as parameters of ClickHouse."""

from __future__ import annotations

from datetime import UTC, datetime


def as_parameter(at: datetime) -> str:
    """Return an aware instant as `{name:DateTime64(3, 'UTC')}` takes it, to the millisecond."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
