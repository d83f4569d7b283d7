"""A predicted score in the criteria keeps what the fold promises, and explains each decision."""

from __future__ import annotations

import math
from typing import Any

import pytest
from effective import content, effective
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import (
    DAY_MS,
    SPAN_DAYS,
    START_MS,
    by_lead,
    disturbed,
    examples,
    lively_texts,
    logs,
)
from planted import named, score_file, with_score

from leadstream.schemas.decisions import Transition
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import (
    Limits,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.domain.predictive import candidate_names
from leadstream.streams.domain.view import view
from leadstream.streams.replay import Effective

RULES = ("big", "boss", "page", "pricing", "content", "unsubscribed")
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
WIDE = Limits(horizon_ms=365 * DAY_MS)


LIKELY = {
    "engaged": "{name: warm, when: 'predicted.score >= 0.48'}",
    "mql": """{name: likely, when: 'predicted.score >= 0.55 && seen("page_viewed")'}""",
    "sql": "{name: sure, when: 'predicted.score >= 0.8'}",
}


def models() -> ModelSet:
    """Return two versions that read a score of their own each, in all kinds of criteria."""
    names = [*candidate_names(RULES, ["employees"]), "channel(social)", "buyer_stage(decision)"]
    versions = []
    for number, plain in enumerate(lively_texts()[:2]):
        weights = {
            name: (0.2, 1.0, 0.3 * ((place + number) % 5 - 1.5)) for place, name in enumerate(names)
        }
        score = score_file(weights, plain)
        text = f"{plain}\n{named(score)}\n"
        for kind, criterion in LIKELY.items():
            assert text.count(f"  {kind}:\n") == 1
            text = text.replace(f"  {kind}:\n", f"  {kind}:\n    - {criterion}\n")
        versions.append(with_score(text, score))
    return ModelSet(versions)


MODELS = models()


@examples(60)
@given(st.data(), logs())
def test_no_order_repetition_batch_or_restart_changes_what_is_predicted(
    data: Any, log: Any
) -> None:
    until = data.draw(st.sampled_from([0, START_MS + 3 * DAY_MS, END_MS]))
    for lead_id, events in by_lead(log).items():
        record, heard, said = new_record(lead_id), Effective(), []
        for batch in disturbed(data.draw, events):
            said += absorb(record, batch, MODELS, WIDE)
            if data.draw(st.booleans()):
                record = decode_record(encode_record(record))
        said += absorb(record, [], MODELS, WIDE, until)
        for saying in said:
            heard.hear(saying)
        expected = effective_decisions(lead_id, events, MODELS, until)
        key = [content(d) for d in sorted(expected, key=lambda d: (d.occurred_at, d.id))]
        assert [content(d) for d in heard.decisions()] == key
        assert effective(s.decision for s in said) == key
        whole = new_record(lead_id)
        absorb(whole, events, MODELS, WIDE, until)
        assert view(record, MODELS).next_mql == view(whole, MODELS).next_mql


@examples(40)
@given(logs())
def test_each_transition_tells_a_probability_and_what_adds_up_to_it(log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        for decision in effective_decisions(lead_id, events, MODELS, END_MS):
            if not isinstance(decision, Transition):
                continue
            assert decision.predicted is not None
            score = decision.predicted.score
            assert 0 < score < 1
            total = math.fsum(part.log_odds for part in decision.predicted.contributions)
            assert 1 / (1 + math.exp(-total)) == pytest.approx(score, abs=1e-5)
            if decision.criterion == "likely":
                assert score >= 0.55


def test_the_score_decides_among_such_lives() -> None:
    """Else the properties above would hold of nothing."""
    decided: set[str] = set()

    @examples(60)
    @given(logs())
    def look(log: Any) -> None:
        for lead_id, events in by_lead(log).items():
            for decision in effective_decisions(lead_id, events, MODELS, END_MS):
                if isinstance(decision, Transition) and decision.criterion:
                    decided.add(decision.criterion)

    look()
    assert {"warm", "likely", "sure"} <= decided
