"""How a long run shows where it is: bars on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import time
from typing import Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

LINE_INTERVAL_S: Final = 5.0


class Display:
    """Phases with counts, on standard error; a context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]\N{CHECK MARK}"),
                TextColumn("{task.description:<24}"),
                BarColumn(bar_width=30),
                TextColumn("{task.completed:>9,}"),
                TimeElapsedColumn(),
                console=console,
            )
        self._tasks: dict[str, TaskID] = {}
        self._counts: dict[str, tuple[int, bool]] = {}
        self._began = self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            click.echo(f"[{time.monotonic() - self._began:5.1f} s] {text}", err=True)

    def report(self, phase: str, done: int, total: int | None) -> None:
        """Show how far a phase is; with a total that is reached it is over."""
        _, over = self._counts.get(phase, (0, False))
        if over:
            return
        over = total is not None and done >= total
        self._counts[phase] = (done, over)
        if self._bars is not None:
            if phase not in self._tasks:
                self._tasks[phase] = self._bars.add_task(phase, total=None)
            shown_total = (total or 1) if over else None
            self._bars.update(self._tasks[phase], completed=done or over, total=shown_total)
        elif over:
            self.say(f"{phase}: {done:,}, all")
        elif time.monotonic() - self._line_at > LINE_INTERVAL_S:
            self._line_at = time.monotonic()
            counts = (f"{name} {count:,}" for name, (count, _) in self._counts.items())
            self.say(", ".join(counts))
