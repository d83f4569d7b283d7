"""What the stories tell between them: every transition of the design, and what is taken back."""

from __future__ import annotations

import json
from pathlib import Path

from leadstream.schemas.decisions import RETRACTED, SlaEvent, Transition
from leadstream.streams.ingest.jsonl import event_from_json_line
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

FOLDER = Path(__file__).parent

# From the design's section on the lifecycle, sentence by sentence.
DESIGNED = """
anonymous>known known>engaged engaged>mql mql>sal sal>sql sql>opportunity opportunity>customer
known>mql
known>sal engaged>sal nurture>sal
mql>nurture sal>nurture sql>nurture mql>disqualified sal>disqualified sql>disqualified
mql>engaged
opportunity>lost lost>nurture lost>opportunity
nurture>mql
mql>merged
""".split()


def told_in_stories() -> set[str]:
    """Return every move that the expected outputs hold, as from>to."""
    found = set()
    for expected in FOLDER.glob("*/expected.jsonl"):
        for line in expected.read_text("utf-8").splitlines():
            decision = json.loads(line)
            if "to_stage" in decision:
                found.add(f"{decision['from_stage']}>{decision['to_stage']}")
    return found


def test_every_transition_of_the_design_occurs_in_a_story() -> None:
    assert sorted(set(DESIGNED) - told_in_stories()) == []


def test_an_mql_that_a_late_event_makes_untrue_is_said_and_taken_back() -> None:
    story = FOLDER / "a_late_identify_takes_the_mql_back" / "events.jsonl"
    run = Replay(load_models(None))
    said = []
    for line in story.read_text("utf-8").splitlines():
        said.append([saying.decision for saying in run.feed(event_from_json_line(line))[1]])
    asks, reads, is_identified = said
    (mql,) = (d for d in asks if isinstance(d, Transition) and d.to_stage == "mql")
    assert not [d for d in reads if isinstance(d, Transition)]
    gone = [d for d in is_identified if d.status == RETRACTED]
    assert mql.id in {d.id for d in gone}
    clocks = {d.clock for d in asks if isinstance(d, SlaEvent)}
    assert clocks == {d.clock for d in gone if isinstance(d, SlaEvent)} != set()
    assert all(d.revision > mql.revision for d in gone)
