"""A fading score disarms at the very millisecond at which counting on would see it."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from lead_logs import DAY_MS, HOUR_MS, START_MS, examples
from states import state_with

from leadstream.streams.domain import crossings
from leadstream.streams.domain.compiled import CompiledModel, ModelSet
from leadstream.streams.domain.crossings import look_again_at, next_crossing
from leadstream.streams.domain.scoring import score_at
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS, FoldState, Tally
from leadstream.streams.models import parse_model

_MODEL = """
version: "{version}"
active_from: {active_from}
engagement:
  max: {max}
  groups: {{a: {a}, b: 40}}
  rules:
    - {{name: half, group: a, on: page_viewed, points: 5, decay: {{half_life_days: 0.5}}}}
    - {{name: line, group: b, on: ad_clicked, points: 5, decay: {{points_per_day: 4}}}}
    - {{name: part, group: a, on: chat_started, points: 5, decay: {{percent: 50, per: 1d}}}}
    - {{name: stays, group: b, on: meeting_held, points: 1}}
    - {{name: bad, group: b, on: email_bounced, points: -5, decay: {{half_life_days: {bad}}}}}
criteria:
  engaged: [{{name: e, score: engagement, threshold: 50, disarm: {disarm}}}]
"""


@st.composite
def models(draw: Any, active_from: str = "1970-01-01") -> CompiledModel:
    text = _MODEL.format(
        version=active_from,
        active_from=active_from,
        max=draw(st.sampled_from([12, 20, 100])),
        a=draw(st.sampled_from([6, 15, 100])),
        bad=draw(st.sampled_from([0.1, 0.5, 3])),
        disarm=draw(st.sampled_from([1, 4, 7.5, 12])),
    )
    return parse_model(text, "m.yaml")


_points = st.floats(0, 30).map(lambda value: round(value, 3))


@st.composite
def held_leads(draw: Any, *, monotone: bool = False) -> FoldState:
    tallies = {
        name: Tally(value=draw(_points), at=START_MS - draw(st.integers(0, DAY_MS)), hits=1)
        for name in ("half", "line", "part", "stays")
    }
    if not monotone:
        tallies["bad"] = Tally(value=-draw(_points), at=START_MS, hits=1)
    return state_with(
        stage=Stage.ENGAGED,
        held_by="e",
        last_at=START_MS,
        fit_version="1970-01-01",
        tallies=tallies,
    )


def disarmed(state: FoldState, model: CompiledModel, at: int) -> bool:
    return score_at(state, model, at).engagement < (model.engaged[0].disarm or 0)


@examples(80)
@given(held_leads(), models())
def test_a_crossing_is_the_first_instant_below_and_none_is_passed_over(
    state: FoldState, model: CompiledModel
) -> None:
    assume(not disarmed(state, model, START_MS))
    found = next_crossing(state, ModelSet([model]), NEVER_MS)
    for minute in range(1, 12 * 24 * 60, 7):
        at = START_MS + minute * 60_000
        if at >= found:
            break
        # A dip that recovers within an hour of the clock may go unseen.
        recovers = not disarmed(state, model, at // HOUR_MS * HOUR_MS + HOUR_MS - 1)
        assert recovers or not disarmed(state, model, at)
    if found != NEVER_MS:
        assert disarmed(state, model, found)
        assert found == START_MS + 1 or not disarmed(state, model, found - 1)


@examples(80)
@given(held_leads(), models(), st.integers(0, 30 * 24 * 60))
def test_looking_less_far_finds_the_same(
    state: FoldState, model: CompiledModel, minutes: int
) -> None:
    until = START_MS + minutes * 60_000
    found = next_crossing(state, ModelSet([model]), NEVER_MS)
    near = next_crossing(state, ModelSet([model]), until)
    assert near == found if found <= until else near > until


@examples(60)
@given(held_leads(monotone=True), models(), models("2026-03-07T00:00:00Z"))
def test_the_version_active_at_an_instant_decides(
    state: FoldState, first: CompiledModel, second: CompiledModel
) -> None:
    assume(not disarmed(state, first, START_MS))
    alone = next_crossing(state, ModelSet([first]), NEVER_MS)
    found = next_crossing(state, ModelSet([first, second]), NEVER_MS)
    assert found == min(alone, second.active_from)


@examples(80)
@given(held_leads(), models(), models("2026-03-07T00:00:00Z"))
def test_nobody_is_told_to_look_again_after_the_crossing(
    state: FoldState, first: CompiledModel, second: CompiledModel
) -> None:
    for known in (ModelSet([first]), ModelSet([first, second])):
        assert look_again_at(state, known) <= next_crossing(state, known, NEVER_MS)


def test_a_lead_that_nothing_watches_has_no_crossing() -> None:
    state = state_with(stage=Stage.KNOWN, last_at=START_MS, fit_version="v")
    assert not crossings.is_watching(state)
