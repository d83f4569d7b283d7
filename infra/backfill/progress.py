"""Where a long run is: what it has done, how fast, and when it will be done."""

from __future__ import annotations

import time
from typing import Final, Self

import click
from rich.console import Console
from rich.status import Status

INTERVAL_S: Final = 5.0
_TERMINAL_INTERVAL_S: Final = 0.2


class Progress:
    """One line on standard error: kept up to date on a terminal, repeated elsewhere.

    A context manager; nothing is said of what ends before the first interval is over.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._status: Status | None = console.status("") if console.is_terminal else None
        self._interval_s = _TERMINAL_INTERVAL_S if self._status else INTERVAL_S
        self._began = self._phase_began = self._heard_at = self._told_at = time.monotonic()
        self._phase = ""

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def report(self, phase: str, counts: dict[str, int], share: float | None) -> None:
        """Tell counts, of which the first has a rate.

        Args:
            share: how much of the phase is done, 0 to 1; None where nobody knows.
        """
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._phase_began = phase, self._heard_at
        self._heard_at = now
        if now - self._told_at < self._interval_s:
            return
        self._told_at = now
        spent_s = max(now - self._phase_began, 1e-3)
        told = [f"{phase}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items())]
        told.append(f"{next(iter(counts.values())) / spent_s:,.0f}/s")
        if share:
            told.append(f"{share:.0%}, done in about {_spoken(spent_s * (1 - share) / share)}")
        self._say(", ".join(told))

    def _say(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)
        else:
            click.echo(f"[{time.monotonic() - self._began:6.1f} s] {text}", err=True)


def _spoken(left_s: float) -> str:
    if left_s < 90:
        return f"{left_s:.0f} s"
    minutes = round(left_s / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
