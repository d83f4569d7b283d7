"""What a process answers when it is asked whether it lives, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Status(Protocol):
    """How a stage of a worker, or the sink, stands."""

    @property
    def stage(self) -> str: ...
    @property
    def joined(self) -> bool:
        """Whether the consumer group has told it its partitions."""
        ...

    @property
    def active(self) -> Sequence[int | str]:
        """The partitions that are being processed."""
        ...

    @property
    def restoring(self) -> Mapping[int, float]:
        """The partitions that are not restored yet, each with the fraction that is."""
        ...

    @property
    def idle_s(self) -> float:
        """Seconds since its loop turned last."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, and what there is to tell."""

    ok: bool
    body: dict[str, Any]


class Probes:
    """Health and readiness of one process, from the status of its parts.

    Args:
        statuses: asked at each probe; must be quick.
        stuck_after_s: a part whose loop has not turned for so long does not live.
    """

    def __init__(self, statuses: Callable[[], Iterable[Status]], stuck_after_s: float) -> None:
        self.stopping = False
        self._statuses = statuses
        self._stuck_after_s = stuck_after_s

    def watch(self, statuses: Callable[[], Iterable[Status]]) -> None:
        """Ask other parts from now on."""
        self._statuses = statuses

    def health(self) -> Answer:
        """Say whether every part turns; the event loop does, since it answers."""
        reasons = [
            f"stage {status.stage} has not turned for {status.idle_s:.0f} s"
            for status in self._statuses()
            if status.idle_s > self._stuck_after_s
        ]
        return Answer(not reasons, {"healthy": not reasons, "reasons": reasons})

    def ready(self) -> Answer:
        """Say whether every part is in its group with all its partitions restored."""
        statuses = list(self._statuses())
        reasons = ["stopping"] if self.stopping else []
        if not statuses:
            reasons.append("starting")
        stages = {}
        for status in statuses:
            if not status.joined:
                reasons.append(f"stage {status.stage} has not joined its group")
            reasons += [
                f"stage {status.stage} partition {number} is restoring, {fraction:.0%} done"
                for number, fraction in sorted(status.restoring.items())
            ]
            stages[status.stage] = {
                "joined": status.joined,
                "active": list(status.active),
                "restoring": {str(n): round(f, 3) for n, f in sorted(status.restoring.items())},
                "idle_s": round(status.idle_s, 3),
            }
        ready = not reasons
        return Answer(ready, {"ready": ready, "reasons": reasons, "stages": stages})
