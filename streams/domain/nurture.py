"""What a lead reads about: the buyer's stage and the interest, from all content with recency.

Each piece of content counts `nurture.stage_points` for its buyer's stage and one for its topic;
they halve every `nurture.half_life_days`. The stage and the topic with the most are the lead's.
"""

from __future__ import annotations

from typing import Final

from leadstream.schemas.events import EpochMs, Touchpoint
from leadstream.streams.domain.compiled import BUYER_STAGES, CompiledModel
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import Share

MAX_TOPICS: Final = 20
_LATEST_FIRST: Final = BUYER_STAGES[::-1]


def consume(state: FoldState, model: CompiledModel, touch: Touchpoint, at: EpochMs) -> None:
    """Count what a touchpoint says of the buyer's stage and of the interest."""
    stages = model.buyer_stage_of
    stage = stages.get(touch.category or "") or stages.get(touch.type)
    if stage is not None:
        _count(state.content, stage, model.stage_points[stage], at, model.content_half_life_ms)
        content = state.content
        if len(content) == 1:
            state.buyer_stage = stage
        else:
            state.buyer_stage = max(
                (s for s in _LATEST_FIRST if s in content), key=lambda s: _weight(content[s])
            )
    topic = topic_of(model, touch)
    if topic is not None:
        _count(state.topics, topic, 1.0, at, model.content_half_life_ms)
        while len(state.topics) > MAX_TOPICS:
            del state.topics[min(state.topics, key=lambda t: (_weight(state.topics[t]), t))]
        shares = state.topics
        if len(shares) == 1:
            state.interest = topic
        else:
            state.interest = max(shares, key=lambda t: (_weight(shares[t]), t == topic, t))


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
        faded = share.points * 2.0 ** (-(now - share.at) / half_life_ms)
        shares[each] = Share(faded + (points if each == name else 0.0), now)


def _weight(share: Share) -> float:
    return round(share.points, 6)
