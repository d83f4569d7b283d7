"""Each cause of a transition is told in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from leadstream.infra.cli._lead_words import told
from leadstream.streams.domain.compiled_sla import CAUSES

NOTHING: dict[str, Any] = dict.fromkeys(
    ("cause_type", "criterion", "threshold", "margin", "reason", "reason_given", "leak")
)


def transition(**fields: Any) -> dict[str, Any]:
    return {**NOTHING, "to_stage": "mql", "sla_due_at": None, "model_version": "2", **fields}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"cause": "criteria", "criterion": "score_and_fit", "threshold": 60.0, "margin": 6.25,
             "cause_type": "webinar_attended", "sla_due_at": "2026-03-02T12:30:00.000Z"},
            "Became an MQL because criterion score_and_fit held after webinar_attended: "
            "66.25 points, 6.25 more than the 60 it asks for. Answer due 2026-03-02T12:30:00.000Z.",
        ),
        (
            {"cause": "hand_raise", "criterion": "hand_raise", "cause_type": "demo_requested"},
            "Became an MQL because it asked for sales (demo_requested, criterion hand_raise).",
        ),
        (
            {"cause": "crm", "to_stage": "nurture", "cause_type": "lead_rejected",
             "reason": "no_budget", "reason_given": "No budget this year"},
            "Went to nurture because the CRM said lead_rejected, reason no_budget "
            '("No budget this year").',
        ),
        (
            {"cause": "crm", "to_stage": "nurture", "cause_type": "lead_rejected",
             "leak": "missing_reason"},
            "Went to nurture because the CRM said lead_rejected, and gave no reason.",
        ),
        (
            {"cause": "crm", "to_stage": "nurture", "cause_type": "lead_rejected",
             "reason_given": "Bad vibe", "leak": "unmapped_reason"},
            "Went to nurture because the CRM said lead_rejected, for a reason that the model does "
            'not know ("Bad vibe").',
        ),
        (
            {"cause": "decay", "to_stage": "known", "criterion": "engaged_by_score"},
            "Became known because its score faded below where criterion engaged_by_score lets go.",
        ),
    ],
)  # fmt: skip
def test_a_transition_is_told_in_words(fields: dict[str, Any], words: str) -> None:
    assert told(transition(**fields)) == words


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_every_cause_has_words_of_its_own(cause: str) -> None:
    sentence = told(transition(cause=cause, cause_type="lead_accepted", criterion="c"))
    assert "because of" not in sentence
