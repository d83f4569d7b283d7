"""Which ids of one rank belong to each other: two visitors that an alias names, two addresses.

Events may state them either way round, and so in a circle, in which nobody would be left. So of all
such words, in the order of their events, one that would close a circle says nothing new and does
not count. What counts is therefore a function of the set of words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from leadstream.streams.domain.link_records import Aliased, Alike, Place

UNALIASED: Final = Aliased(version=-1, claims=[])
_Word = tuple[Place, str]
"""Instant, event and owner, and the key that is the owner's."""


class AliasGraph:
    """All words on ids of one rank, and what was said of each id."""

    def __init__(self) -> None:
        self._words: dict[str, set[Place]] = {}
        self._beside: defaultdict[str, set[str]] = defaultdict(set)
        self._said: dict[str, Aliased] = {}

    def restore(self, key: str, words: Iterable[Place], said: Aliased) -> None:
        """Take what was kept of a key."""
        for word in words:
            self._note(key, word)
        self._said[key] = said

    def words_of(self, key: str) -> list[Place]:
        """Return the words on a key, in their order."""
        return sorted(self._words.get(key, ()))

    def said_of(self, key: str) -> Aliased:
        """Return what was said last of a key."""
        return self._said.get(key, UNALIASED)

    def add(self, alike: Alike) -> dict[str, Aliased]:
        """Take a word; return what is to be said anew of which keys."""
        word: Place = (alike.at, alike.event_id, alike.owner)
        if alike.key == alike.owner or word in self._words.get(alike.key, ()):
            return {}
        self._note(alike.key, word)
        news = {}
        for key, claims in self._counted(alike.key).items():
            before = self.said_of(key)
            if before.claims != claims:
                news[key] = self._said[key] = Aliased(before.version + 1, claims)
        return news

    def _note(self, key: str, word: Place) -> None:
        self._words.setdefault(key, set()).add(word)
        self._beside[key].add(word[2])
        self._beside[word[2]].add(key)

    def _counted(self, key: str) -> dict[str, list[Place]]:
        """Return the words that count, of each key that hangs together with one."""
        together, waiting = {key}, [key]
        while waiting:
            for each in self._beside[waiting.pop()] - together:
                together.add(each)
                waiting.append(each)
        keys = [each for each in together if each in self._words]
        words: list[_Word] = sorted((word, each) for each in keys for word in self._words[each])
        counted: dict[str, list[Place]] = {each: [] for each in keys}
        for word, owned in words:
            if not _leads_to(word[2], owned, counted):
                counted[owned].append(word)
        return counted


def _leads_to(start: str, end: str, counted: dict[str, list[Place]]) -> bool:
    """Say whether one comes from an id to another by the words that count so far."""
    seen, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        if at == end:
            return True
        for _, _, owner in counted.get(at, ()):
            if owner not in seen:
                seen.add(owner)
                waiting.append(owner)
    return False
