"""What a lead reads about: the buyer's stage and the interest, from all content with recency.

Each piece of content counts `nurture.stage_points` for its buyer's stage and one for its topic;
they halve every `nurture.half_life_days`. The stage and the topic with the most are the lead's.
"""

from __future__ import annotations

import math
from typing import Final

from leadstream.schemas.events import EpochMs, Touchpoint
from leadstream.streams.domain.compiled import BUYER_STAGES, CompiledModel
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import Share

MAX_TOPICS: Final = 20
DIGITS: Final = 6
IN_DOUBT: Final = 2e-6
_LATEST_FIRST: Final = BUYER_STAGES[::-1]


def consume(state: FoldState, model: CompiledModel, touch: Touchpoint, at: EpochMs) -> None:
    """Count what a touchpoint says of the buyer's stage and of the interest."""
    stages = model.buyer_stage_of
    stage = stages.get(touch.category or "") or stages.get(touch.type)
    if stage is not None:
        points = model.stage_points[stage]
        _count(state.content, stage, points, at, model.content_half_life_ms)
        # What had the most and gets more has the most: all others fade alike.
        if state.buyer_stage != stage or points < 1:
            state.buyer_stage = _stage_with_most(state.content)
    topic = topic_of(model, touch)
    if topic is not None:
        _count(state.topics, topic, 1.0, at, model.content_half_life_ms)
        while len(state.topics) > MAX_TOPICS:
            del state.topics[min(state.topics, key=lambda t: (_weight(state.topics[t]), t))]
        if state.interest != topic:
            state.interest = _topic_with_most(state.topics, topic)


def _stage_with_most(content: dict[str, Share]) -> str:
    most, its_points = "", 0.0
    for stage in _LATEST_FIRST:
        share = content.get(stage)
        if share is not None and (not most or _outweighs(share.points, its_points)):
            most, its_points = stage, share.points
    return most


def _topic_with_most(topics: dict[str, Share], latest: str) -> str:
    if len(topics) == 1:
        return latest
    return max(topics, key=lambda t: (_weight(topics[t]), t == latest, t))


def topic_of(model: CompiledModel, touch: Touchpoint) -> str | None:
    """Return the topic of an asset or category, or the asset itself where it has none."""
    known = model.topic_of
    return known.get(touch.asset or "") or known.get(touch.category or "") or touch.asset or None


def _count(
    shares: dict[str, Share], name: str, points: float, at: EpochMs, half_life_ms: float
) -> None:
    """Add points, and bring all shares to the latest instant, so that they can be compared."""
    now = at
    for share in shares.values():
        now = max(now, share.at)
    shares.setdefault(name, Share(0.0, now))
    for each, share in shares.items():
        left = share.points * math.pow(2.0, -(now - share.at) / half_life_ms)
        shares[each] = Share(left + (points if each == name else 0.0), now)


def _weight(share: Share) -> float:
    return round(share.points, DIGITS)


def _outweighs(points: float, others: float) -> bool:
    """Compare as `_weight` does, which goes through text, and only where that is in doubt."""
    more = points - others
    return more > 0 if abs(more) > IN_DOUBT else round(points, DIGITS) > round(others, DIGITS)
