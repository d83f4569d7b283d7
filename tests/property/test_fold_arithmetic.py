"""What compiled code works out by itself is what Python would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples
from small_models import happened, models

from leadstream.streams.domain import scoring
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.view import view

NURTURE = """
version: '1'
nurture:
  buyer_stages: {awareness: [blog], consideration: [case_study], decision: [pricing]}
  topics: {security: [soc2, trust_center], billing: [pricing]}
  half_life_days: 10
"""


@examples(500)
@given(
    st.floats(-1e9, 1e9)
    | st.integers(-(10**9), 10**9).map(lambda half_ticks: half_ticks / (2 * scoring.TICKS))
)
def test_ticks_are_rounded_as_python_rounds(points: float) -> None:
    assert scoring._ticks(points) == round(points * scoring.TICKS)


@examples(500)
@given(st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9).map(float))
def test_points_that_are_told_are_rounded_as_python_rounds(points: float) -> None:
    assert scoring._rounded(points) == round(points, scoring.DIGITS)


@examples(200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.25, 3.0, 10.0, 40.0]),
            st.sampled_from(["blog", "webinar", "case_study", "pricing"]),
            st.sampled_from(["soc2", "trust_center", "pricing", "roi_guide", "x"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_stage_and_interest_are_those_with_the_most_after_every_touch(
    touches: list[tuple[float, str, str]],
) -> None:
    versions, record = models(NURTURE), new_record("l")
    stage_of = {"blog": "awareness", "case_study": "consideration", "pricing": "decision"}
    topic_of = {"soc2": "security", "trust_center": "security", "pricing": "billing"}
    at, content, topics = 0.0, dict[str, list[float]](), dict[str, list[float]]()
    for passed, category, asset in touches:
        at += passed
        absorb(
            record,
            [happened(at, "page_viewed", category=category, asset=asset)],
            versions,
            Limits(),
        )
        if category in stage_of:
            content.setdefault(stage_of[category], []).append(at)
        topic = topic_of.get(asset) or topic_of.get(category) or asset
        topics.setdefault(topic, []).append(at)
        weigh = {name: sum(2 ** ((a - at) / 10) for a in ats) for name, ats in topics.items()}
        most = max(weigh.values())
        found = view(record, versions)
        assert found.interest is not None
        assert weigh[found.interest] >= most - 1e-6
        # Of topics that have the same, the latest.
        assert found.interest == topic or weigh[topic] < most - 1e-9
        points = {"awareness": 1.0, "consideration": 2.0, "decision": 3.0}
        stages = {
            name: points[name] * sum(2 ** ((a - at) / 10) for a in ats)
            for name, ats in content.items()
        }
        assert found.buyer_stage is None or (
            stages[found.buyer_stage] >= max(stages.values()) - 1e-6
        )
