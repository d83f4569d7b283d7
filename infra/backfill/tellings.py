"""Decisions as lines of JSON in (time, id) order, however many: sorted parts, merged at the end."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.json_form import to_json_object

SCHEMA_OF: Final = {Transition: "transition", SlaEvent: "sla_event", LeakEvent: "leak_event"}
_AS_EMITTED_ONLY: Final = ("revision", "status", "supersedes")
_FILES_AT_ONCE: Final = 200
# Makes every time positive, so that the digits sort as the numbers do.
_BIAS_MS: Final = 1 << 43


def plain(decision: Transition | SlaEvent | LeakEvent, *, effective: bool) -> str:
    """Return a decision as a JSON object; an effective one without what only a stream needs."""
    told: dict[str, Any] = to_json_object(SCHEMA_OF[type(decision)], decision)
    if effective:
        for field in _AS_EMITTED_ONLY:
            told.pop(field, None)
    return json.dumps(told, ensure_ascii=False)


def write_sorted(path: Path, decisions: Iterable[Transition | SlaEvent | LeakEvent]) -> None:
    """Write a part: each line begins with what it is sorted by."""
    lines = [
        f"{d.occurred_at + _BIAS_MS:014d} {d.id} {plain(d, effective=True)}\n".encode()
        for d in decisions
    ]
    path.write_bytes(b"".join(sorted(lines)))


def merged(parts: list[Path]) -> Iterator[bytes]:
    """Give the lines of all parts in order; a part may be read, and removed, on the way."""
    while len(parts) > _FILES_AT_ONCE:
        several, parts = parts[:_FILES_AT_ONCE], parts[_FILES_AT_ONCE:]
        into = several[0].with_suffix(".merged" + several[0].suffix)
        with into.open("wb") as file:
            file.writelines(_merge(several))
        for part in several:
            part.unlink()
        parts.append(into)
    for line in _merge(parts):
        yield line.split(b" ", 2)[2]


def _merge(parts: list[Path]) -> Iterator[bytes]:
    with ExitStack() as stack:
        yield from heapq.merge(*(stack.enter_context(part.open("rb")) for part in parts))
