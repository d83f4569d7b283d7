"""The model card of a score: what it is for, what it was made of, how well it does, what not to do.

After M. Mitchell et al., Model Cards for Model Reporting (2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from leadstream.streams.domain.predictive import meaning_of
from leadstream.streams.score_file import Evaluation, Part, ScoreFile

NOT_BETTER: Final = (
    "On the test part it is **no better than chance**: the interval of its AUC holds 0.5. Do not "
    "put it into a criterion."
)
LIMITS: Final = (
    "It learnt from leads that were handed over, and so from what sales did with them. Of a lead "
    "that no rule would hand over it says what became of others like it that were; that is a "
    "guess, and the more so the less alike they are.",
    "Weights say what went together in this history, not what causes success. Making leads do "
    "what weighs much makes them no better.",
    "Features that go together share a weight between them: read a weight as one of its kind, not "
    "alone.",
    "It knows one market, one sales team and one way to work. When these change, train again; "
    "until then compare what it says with what comes.",
    "An event that came late is known here from when it happened on, and was not when the decision "
    "was made.",
    "The outcomes of the training's last decisions came in the time of the parts after it: who had "
    "trained on that day would have known less than this test lets it know.",
)
NOT_FOR: Final = (
    "to decide anything about a person but who is called, and when: no prices, no credit, no "
    "employment;",
    "to turn a lead down by itself, for good, or without somebody who can look at the reasons;",
    "with fit rules that stand for who somebody is (origin, sex, age, faith, health), or for what "
    "gives it away;",
    "to compare sales reps, or as a forecast of revenue.",
)


def card_of(score: ScoreFile, file: str, sha256: str) -> str:
    """Return the card as Markdown, the same for the same score."""
    outcome = "becomes an SQL" if score.outcome == "sql" else "ends in a won deal"
    return "\n".join(
        [
            f"# Model card: {file}",
            "",
            f"How likely a lead that is handed over as an MQL now {outcome} within "
            f"{score.horizon_days} days: from 0 to 1, as `predicted.score` of the criteria.",
            "",
            *_table(
                ("", ""),
                [
                    ("sha256", f"`{sha256}`"),
                    ("rules", f"of model version {score.model_version}"),
                    ("kind", f"logistic regression, L2 (C = {score.penalty:g}), Platt calibration"),
                    ("seed", str(score.seed)),
                ],
            ),
            "",
            "## What it was made of",
            "",
            "One row for each decision that made a lead an MQL by a criterion, with what was known "
            "at that instant. The outcome is what the CRM said after it and before the lead's next "
            "decision. The parts follow each other in time.",
            "",
            *_table(
                ("part", "from", "to", "decisions", "successful", "rate"),
                [
                    _part_row("training", score.training),
                    _part_row("calibration", score.calibrating),
                    _part_row("test", score.test),
                ],
            ),
            "",
            f"Left out: {score.left_out_young:,} decisions younger than the horizon, and "
            f"{score.left_out_repeated:,} later decisions of leads that stand in an earlier part.",
            "",
            "## How well it does",
            "",
            *_evaluated(score.evaluation),
            "",
            "## Features",
            "",
            "What a feature adds to the log-odds when it is one standard deviation above its mean.",
            "",
            *_table(
                ("feature", "adds", "mean", "deviation", "says"),
                [
                    (
                        f"`{each.name}`",
                        f"{score.calibration.slope * each.weight:+.3f}",
                        f"{each.mean:.3g}",
                        f"{each.scale:.3g}",
                        meaning_of(each.name),
                    )
                    for each in sorted(score.features, key=lambda e: (-abs(e.weight), e.name))
                ],
            ),
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in LIMITS),
            "",
            "## What it must not be used for",
            "",
            *(f"- {use}" for use in NOT_FOR),
            "",
        ]
    )


def verdict(found: Evaluation) -> str:
    """Say in one line how well the score ranks, beside the rules."""
    return (
        f"AUC {found.auc:.3f} (95 %: {found.auc_low:.3f} to {found.auc_high:.3f}); "
        f"the rules' score {found.auc_rules:.3f}, gradient boosting {found.auc_boosting:.3f}"
    )


def _evaluated(found: Evaluation) -> list[str]:
    lines = [
        f"- {verdict(found)}. 0.5 is chance, 1 is perfect.",
        f"- Brier score {found.brier:.4f}, against {found.brier_base:.4f} of telling everybody the "
        "rate before; less is better.",
        f"- Rate of the test part: {_percent(found.base_rate)}.",
    ]
    if not found.is_better_than_chance:
        lines += ["", NOT_BETTER]
    return [
        *lines,
        "",
        "Tenths of the test part by predicted score, the highest first. A calibrated score says "
        "what is then observed; lift is the observed rate over that of all.",
        "",
        *_table(
            ("tenth", "decisions", "predicted", "observed", "lift"),
            [
                (
                    str(number),
                    f"{each.decisions:,}",
                    _percent(each.predicted),
                    _percent(each.observed),
                    "-" if each.lift is None else f"{each.lift:.2f}",
                )
                for number, each in enumerate(reversed(found.bins), 1)
            ],
        ),
    ]


def _part_row(name: str, part: Part) -> tuple[str, ...]:
    return (
        name,
        part.first_at[:10],
        part.last_at[:10],
        f"{part.decisions:,}",
        f"{part.positives:,}",
        _percent(part.positives / part.decisions),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
