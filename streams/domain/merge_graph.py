"""What all merges come to: of each id that was ever merged, the lead that is left.

Of the merges of one id the latest counts, by (instant, event id), be it an unmerge. That gives each
id one arrow at most, and the lead at the end of the arrows is left. Where they go in a circle, the
latest merge in it says who survives. So the answer is a function of the set of merges.
"""

from __future__ import annotations

from collections import defaultdict

from msgspec.structs import replace

from leadstream.streams.domain.link_records import Merged, Rooted


class MergeGraph:
    """The latest merge of each id, and what was said of each."""

    def __init__(self) -> None:
        self._latest: dict[str, Merged] = {}
        self._into: defaultdict[str, set[str]] = defaultdict(set)
        self._said: dict[str, Rooted] = {}

    def restore(self, merge: Merged, said: Rooted | None) -> None:
        """Take what `add` returned and what was kept beside it."""
        self._point(merge)
        if said is not None:
            self._said[merge.merged] = said

    def latest_of(self, merged: str) -> Merged:
        """Return the merge of an id that counts."""
        return self._latest[merged]

    def said_of(self, merged: str) -> Rooted | None:
        """Return what was said last of an id."""
        return self._said.get(merged)

    def holds(self, merge: Merged) -> bool:
        """Say whether a merge is the one of its id that counts."""
        return self._latest.get(merge.merged) == merge

    def add(self, merge: Merged) -> dict[str, Rooted]:
        """Take a merge; return what is to be said anew of which ids."""
        known = self._latest.get(merge.merged)
        if known is not None and (known.at, known.event_id) >= (merge.at, merge.event_id):
            return {}
        if merge.survivor == merge.merged:
            return {}
        self._point(merge)
        news = {}
        for each in self._upstream(merge.merged):
            before = self._said.get(each)
            now = self._rooted(each, before)
            if now is not None:
                news[each] = self._said[each] = now
        return news

    def root_of(self, lead_id: str) -> str:
        """Return the lead that is left of an id."""
        root, _ = self._end_of(lead_id)
        return root

    def _point(self, merge: Merged) -> None:
        known = self._latest.get(merge.merged)
        if known is not None and known.survivor is not None:
            self._into[known.survivor].discard(merge.merged)
        self._latest[merge.merged] = merge
        if merge.survivor is not None:
            self._into[merge.survivor].add(merge.merged)

    def _upstream(self, lead_id: str) -> list[str]:
        """Return an id and all whose arrows lead to it."""
        found, waiting = {lead_id}, [lead_id]
        while waiting:
            for each in self._into.get(waiting.pop(), ()):
                if each not in found:
                    found.add(each)
                    waiting.append(each)
        return sorted(found)

    def _end_of(self, lead_id: str) -> tuple[str, Merged | None]:
        """Return where the arrows lead, and, from a circle, its latest merge."""
        way: dict[str, Merged] = {}
        at = lead_id
        while (merge := self._latest.get(at)) is not None and merge.survivor is not None:
            if at in way:
                places = list(way)
                circle = [way[each] for each in places[places.index(at) :]]
                last = max(circle, key=_order)
                assert last.survivor is not None  # noqa: S101  only arrows were followed
                return last.survivor, last
            way[at] = merge
            at = merge.survivor
        return at, None

    def _rooted(self, lead_id: str, before: Rooted | None) -> Rooted | None:
        """Return what is to be said of an id; None where that was said."""
        root, last = self._end_of(lead_id)
        own = self._latest[lead_id]
        cause = last if last is not None and root == lead_id else own
        is_back = root == lead_id and own.survivor is not None
        version = 0 if before is None else before.version + 1
        now = Rooted(root, version, cause.at, cause.event_id, is_back, own.is_told)
        if before is not None and replace(now, version=before.version) == before:
            return None
        return now


def _order(merge: Merged) -> tuple[int, str]:
    return merge.at, merge.event_id
