"""Which ids of one rank belong to each other: two visitors that an alias names, two addresses.

Events may state them either way round, and so in a circle, in which nobody would be left. So of all
such words, in the order of their events, one that would close a circle says nothing new and does
not count. What counts is therefore a function of the set of words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from leadstream.streams.domain.claims import MOST_OWNERS, thinned
from leadstream.streams.domain.link_records import Aliased, Alike, Place

UNALIASED: Final = Aliased(version=-1, claims=[])
_Word = tuple[Place, str]
"""Instant, event and owner, and the key that is the owner's."""


class AliasGraph:
    """All words on ids of one rank, and what was said of each id."""

    def __init__(self) -> None:
        self._words: dict[str, list[Place]] = {}
        self._beside: defaultdict[str, set[str]] = defaultdict(set)
        self._said: dict[str, Aliased] = {}
        # Ids that hang together have one head, and of each head the latest word is known.
        self._heads: dict[str, str] = {}
        self._latest: dict[str, _Word] = {}

    def restore(self, key: str, words: Iterable[Place], said: Aliased) -> None:
        """Take what was kept of a key."""
        for word in words:
            self._note(key, word)
        self._said[key] = said

    def words_of(self, key: str) -> list[Place]:
        """Return the words on a key, in their order."""
        return self._words.get(key, [])

    def said_of(self, key: str) -> Aliased:
        """Return what was said last of a key."""
        return self._said.get(key, UNALIASED)

    def add(self, alike: Alike) -> dict[str, Aliased]:
        """Take a word; return what is to be said anew of which keys."""
        key, owner = alike.key, alike.owner
        word: Place = (alike.at, alike.event_id, owner)
        if key == owner or word in self._words.get(key, ()):
            return {}
        if self._is_crowd(key) or self._is_crowd(owner):
            return {}
        before = [self._latest.get(self._head(each)) for each in (key, owner)]
        self._note(key, word)
        is_new_crowd = self._is_crowd(key) or self._is_crowd(owner)
        if is_new_crowd or any(known is not None and known > (word, key) for known in before):
            counted = self._counted(key)
        elif _leads_to(owner, key, self._said):
            counted = {}
        else:
            counted = {key: thinned([*self.said_of(key).claims, word])}
        news = {}
        for each, claims in counted.items():
            said = self.said_of(each)
            if said.claims != claims:
                news[each] = self._said[each] = Aliased(said.version + 1, claims)
        return news

    def _is_crowd(self, each: str) -> bool:
        """Say whether an id stands beside so many others that it is nobody's."""
        return len(self._beside.get(each, ())) > MOST_OWNERS

    def _note(self, key: str, word: Place) -> None:
        owner = word[2]
        self._words[key] = thinned(sorted((*self._words.get(key, ()), word)))
        self._beside[key].add(owner)
        self._beside[owner].add(key)
        heads = self._head(key), self._head(owner)
        known = [self._latest[head] for head in heads if head in self._latest]
        self._heads[heads[0]] = heads[1]
        self._latest[heads[1]] = max([(word, key), *known])

    def _head(self, each: str) -> str:
        way = []
        while (head := self._heads.get(each, each)) != each:
            way.append(each)
            each = head
        self._heads |= dict.fromkeys(way, each)
        return each

    def _counted(self, key: str) -> dict[str, list[Place]]:
        """Return the words that count, of each key that hangs together with one."""
        together, waiting = {key}, [key]
        while waiting:
            for each in self._beside[waiting.pop()] - together:
                together.add(each)
                waiting.append(each)
        keys = [each for each in together if each in self._words]
        words: list[_Word] = sorted((word, each) for each in keys for word in self._words[each])
        counted = {each: Aliased(0, []) for each in keys}
        for word, owned in words:
            if self._is_crowd(owned) or self._is_crowd(word[2]):
                continue
            if not _leads_to(word[2], owned, counted):
                counted[owned].claims.append(word)
        return {each: aliased.claims for each, aliased in counted.items()}


def _leads_to(start: str, end: str, counted: dict[str, Aliased]) -> bool:
    """Say whether one comes from an id to another by the words that count so far."""
    seen, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        if at == end:
            return True
        for _, _, owner in counted.get(at, UNALIASED).claims:
            if owner not in seen:
                seen.add(owner)
                waiting.append(owner)
    return False
