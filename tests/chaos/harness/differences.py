"""One comparison of what is with what must be: how much is lost, doubled or wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

SAMPLES_MAX = 5
_SAMPLE_CHARS = 600


@dataclass
class Difference:
    """What differs in one place, and how much was compared there."""

    place: str
    expected: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    samples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def sample(self, text: str) -> None:
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(text[:_SAMPLE_CHARS])


def compare(
    place: str,
    expected: Iterable[tuple[Hashable, Any]],
    found: Iterable[tuple[Hashable, Any]],
    into: Difference | None = None,
) -> Difference:
    """Compare two collections of (key, content).

    A key that is missing is lost; one that occurs more often than it should is doubled; other
    content under a key, or a key that nobody expected, is wrong.
    """
    result = into or Difference(place)
    must, has = _by_key(expected), _by_key(found)
    result.expected += sum(len(contents) for contents in must.values())
    result.found += sum(len(contents) for contents in has.values())
    for key, contents in must.items():
        there = has.get(key, [])
        if there == contents:
            continue
        missing = Counter(map(repr, contents)) - Counter(map(repr, there))
        extra = Counter(map(repr, there)) - Counter(map(repr, contents))
        fewer, more = len(contents) - len(there), len(there) - len(contents)
        result.lost += max(0, fewer)
        result.doubled += max(0, more)
        result.wrong += min(missing.total(), extra.total())
        if missing or extra:
            result.sample(f"{key}: expected {_told(missing, extra)}")
    for key, contents in has.items():
        if key not in must:
            result.wrong += len(contents)
            result.sample(f"{key}: unexpected {contents!r}")
    return result


def _by_key(pairs: Iterable[tuple[Hashable, Any]]) -> dict[Hashable, list[Any]]:
    found: dict[Hashable, list[Any]] = {}
    for key, content in pairs:
        found.setdefault(key, []).append(content)
    return found


def _told(missing: Counter[str], extra: Counter[str]) -> str:
    """Return both sides, from shortly before the first place where they differ."""
    left, right = next(iter(missing), "nothing"), next(iter(extra), "nothing")
    same = next(
        (i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), 0
    )
    start = max(0, same - 60)
    return f"...{left[start : start + 200]}, found ...{right[start : start + 200]}"
