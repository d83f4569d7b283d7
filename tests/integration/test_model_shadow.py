"""A candidate in the shadow of a running system, through a kill, against two replays."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from effective import effective
from pipeline import Pipeline

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.decisions import Transition
from leadstream.streams.models import default_model_path, load_models
from leadstream.streams.replay import replay

LEADS, SEED, DAYS = 150, 5, 60
END = datetime(2026, 6, 1, tzinfo=UTC)


def candidate_text() -> str:
    text = default_model_path().read_text("utf-8")
    for old, new in (
        ("threshold: 60", "threshold: 70"),
        ('count("content_downloaded") >= 3', 'count("content_downloaded") >= 1'),
        ('version: "2026-01"', 'version: "draft"'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def first_mqls(transitions: list[Transition]) -> dict[str, int]:
    found: dict[str, int] = {}
    for transition in transitions:
        if transition.to_stage == "mql" and not transition.inferred:
            found.setdefault(transition.lead_id, transition.occurred_at)
    return found


def test_a_shadow_records_what_a_replay_of_the_candidate_says_and_routes_nobody(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    candidate = tmp_path / "draft.yaml"
    candidate.write_text(candidate_text(), "utf-8")
    events = list(generate(LEADS, SEED, END, DAYS))
    half = len(events) // 2

    with Pipeline(
        kafka.bootstrap,
        topic_prefix,
        tmp_path,
        workers=2,
        shadow_model_path=candidate,
        topic_partitions=4,
    ) as live:
        live.send(events[:half])
        killed = live.children.pop()
        killed.kill()
        killed.wait()
        live.start_worker()
        live.send(events[half:])
        live.wait_until_through()
        live.advance_clock(round(END.timestamp() * 1000))
        live.wait_until_through()
        shadows = live.read(topics.LEAD_SHADOW)
        transitions = live.read(topics.LEAD_TRANSITIONS)
        routed = [*live.read(topics.LEAD_MQL), *live.read(topics.LEAD_SQL)]
        live.sink_until_through()

    end_ms = round(END.timestamp() * 1000)
    expected = {
        path: [d for d in replay(events, load_models(path), end_ms).effective.decisions()
               if isinstance(d, Transition)]
        for path in (None, candidate)
    }  # fmt: skip
    assert effective(shadows) == effective(expected[candidate])
    assert effective(transitions) == effective(expected[None])
    assert {t.model_version for t in (*transitions, *routed)} == {"2026-01"}
    assert len({(t.id, t.revision) for t in shadows}) == len(shadows)

    active, draft = first_mqls(expected[None]), first_mqls(expected[candidate])
    result = CliRunner().invoke(
        cli, ["model", "shadow", "--data-dir", str(tmp_path), "--format", "json"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["candidate"] == "draft"
    assert told["leads"] == len({t.lead_id for t in expected[candidate]})
    for side, mqls in (
        ("only_active", active.keys() - draft.keys()),
        ("only_candidate", draft.keys() - active.keys()),
    ):
        assert mqls
        assert {mql["lead_id"] for mql in told[side]} == mqls
    both = active.keys() & draft.keys()
    assert told["both"] == len(both)
    assert told["same_instant"] == sum(active[lead] == draft[lead] for lead in both)

    text = CliRunner().invoke(cli, ["model", "shadow", "draft", "--data-dir", str(tmp_path)]).stdout
    assert f"Candidate draft follows {told['leads']} leads: {len(both)} of " in text
    unknown = CliRunner().invoke(cli, ["model", "shadow", "drft", "--data-dir", str(tmp_path)])
    assert unknown.exit_code == 1
    assert 'no candidate "drft" has run in the shadow; there are draft' in unknown.stderr
