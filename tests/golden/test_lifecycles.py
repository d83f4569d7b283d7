"""Lives of leads, each in a folder: what came in, what must hold, and a hand-written outline.

`outline.txt` was worked out from the design by hand and is never generated. It tells every
transition, every clock of first_response, and all of each other policy or leak that it names; the
rest is in `expected.jsonl` only. A story may bring its own `model.yaml`, or versions in `models/`.
After a wanted change of the outputs, `python tests/golden/test_lifecycles.py` writes every
`expected.jsonl` again.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli

FOLDER = Path(__file__).parent
STORIES = sorted(path.parent.name for path in FOLDER.glob("*/events.jsonl"))


def replayed(events: Path, story: str) -> list[dict[str, Any]]:
    """Return what `leadstream replay --sla` prints, under the story's model if it has one."""
    models = [FOLDER / story / name for name in ("model.yaml", "models")]
    options = [word for model in models if model.exists() for word in ("--model", str(model))]
    result = CliRunner().invoke(cli, ["replay", str(events), "--sla", *options])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def subject(decision: dict[str, Any]) -> str | None:
    """Return the policy or the leak that a decision is about; None: a transition."""
    return decision.get("policy") or (decision["leak"] if "opened_at" in decision else None)


def outlined(decision: dict[str, Any]) -> str:
    """Return a decision in the words of an outline."""
    words = [decision["occurred_at"][:16], decision["lead_id"], str(decision["cycle"])]
    if "opened_at" in decision:
        words += [decision["event"], decision["leak"]]
        words += [f"{k}={decision[k]}" for k in ("details", "resolution") if k in decision]
        return " ".join(words)
    if "policy" in decision:
        words += [decision["event"], decision["policy"]]
        if decision["event"] == "started":
            words.append(f"due={decision['due_at'][:16]}")
        if decision["event"] == "met":
            words.append(f"response_s={decision['response_s']}")
        if "cancel_reason" in decision:
            words.append(f"reason={decision['cancel_reason']}")
        return " ".join(words)
    criterion = f"/{decision['criterion']}" if "criterion" in decision else ""
    words += [f"{decision['from_stage']}>{decision['to_stage']}", decision["cause"] + criterion]
    if decision["inferred"]:
        words.append("inferred")
    words += [f"score={decision['score']['total']:.10g}", f"grade={decision['score']['grade']}"]
    words += [f"{k}={decision[k]}" for k in ("margin", "reason", "leak", "amount") if k in decision]
    if "predicted" in decision:
        words.append(f"predicted={decision['predicted']['score']}")
    if decision.get("sla_policy") == "first_response":
        words.append(f"due={decision['sla_due_at'][:16]}")
    if decision["to_stage"] == "mql" and decision["first_mql_at"] != decision["occurred_at"]:
        words.append(f"first_mql={decision['first_mql_at'][:16]}")
    return " ".join(words)


@pytest.mark.parametrize("story", STORIES)
def test_a_life_is_as_its_outline_tells(story: str) -> None:
    outline = (FOLDER / story / "outline.txt").read_text("utf-8").splitlines()
    named = {"first_response", *(word for line in outline for word in line.split())}
    decisions = replayed(FOLDER / story / "events.jsonl", story)
    told = [decision for decision in decisions if subject(decision) in {None, *named}]
    assert sorted(map(outlined, told)) == sorted(outline)


@pytest.mark.parametrize("story", STORIES)
def test_a_life_is_the_same_in_any_order_and_however_often_told(story: str, tmp_path: Path) -> None:
    lines = (FOLDER / story / "events.jsonl").read_text("utf-8").splitlines()
    expected = (FOLDER / story / "expected.jsonl").read_text("utf-8").splitlines()
    disorder = random.Random(story)
    for told in (lines, lines * 2, lines[::-1], disorder.sample(lines * 3, len(lines) * 3)):
        events = tmp_path / "events.jsonl"
        events.write_text("\n".join(told) + "\n", "utf-8")
        assert replayed(events, story) == [json.loads(line) for line in expected]


def write_expected() -> None:
    """Write every story's expected output again."""
    for story in STORIES:
        found = replayed(FOLDER / story / "events.jsonl", story)
        lines = [json.dumps(decision, ensure_ascii=False) + "\n" for decision in found]
        (FOLDER / story / "expected.jsonl").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    write_expected()
