"""A running system takes new versions of the model at their activation, and refuses broken ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from effective import effective
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.codec import iso
from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import Touchpoint
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay

WORKERS = 2
TEXT = """
version: '{version}'
active_from: {active_from}
engagement: {{rules: [{{name: page, on: page_viewed, points: {points}}}]}}
criteria: {{mql: [{{name: score, when: 'true', threshold: 20}}]}}
"""


def viewed(lead_id: str, at: int) -> Touchpoint:
    return Touchpoint(
        event_id=f"{lead_id}-{at}", event_time=at, type="page_viewed", lead_id=lead_id
    )


class Logs:
    """What the workers have logged."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def count(self, text: str) -> list[int]:
        """Return how often each worker has said it."""
        logs = sorted(self._directory.glob("worker-*.log"))
        return [log.read_text("utf-8", "replace").count(text) for log in logs]

    def wait_for(self, text: str, timeout_s: float = 30) -> None:
        """Wait until every worker has said it."""
        deadline = time.monotonic() + timeout_s
        while not all(self.count(text)):
            assert time.monotonic() < deadline, f"not every worker said {text!r}"
            time.sleep(0.05)


def test_versions_take_over_at_their_activation_and_broken_ones_are_refused(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    directory = tmp_path / "models"
    directory.mkdir()
    first, second = directory / "one.yaml", directory / "two.yaml"
    first.write_text(TEXT.format(version="one", active_from="2020-01-01T00:00:00Z", points=10))
    activation = time.time_ns() // 1_000_000 + 3_600_000
    sound = TEXT.format(version="two", active_from=iso(activation), points=20)
    logs = Logs(tmp_path)
    sent: list[Touchpoint] = []

    with Pipeline(
        kafka.bootstrap,
        topic_prefix,
        tmp_path,
        workers=WORKERS,
        model_path=directory,
        model_reload_interval_s=0.1,
        topic_partitions=4,
    ) as live:

        def send(*events: Touchpoint) -> None:
            sent.extend(events)
            live.send(events)
            live.wait_until_through()

        leads = [f"lead{n}" for n in range(20)]
        send(*(viewed(lead, activation - 1000) for lead in leads))

        second.write_text(sound.replace("points", "pints"))
        logs.wait_for("refused")
        send(*(viewed(f"during-{lead}", activation - 900) for lead in leads))
        assert logs.count('two.yaml:4 rule "page": unknown field "pints"') == [1] * WORKERS

        first.write_text(TEXT.format(version="one", active_from="2020-01-01T00:00:00Z", points=99))
        second.unlink()
        logs.wait_for('version "one" has changed, and it is active since 2020-01-01')

        first.write_text(TEXT.format(version="one", active_from="2020-01-01T00:00:00Z", points=10))
        second.write_text(sound)
        logs.wait_for("taken: one from 2020-01-01T00:00:00Z, two from ")

        send(*(viewed(f"before-{lead}", activation - 1) for lead in leads))
        send(*(viewed(f"after-{lead}", activation) for lead in leads))
        send(*(viewed(lead, activation - 500) for lead in leads))

        killed = live.children.pop()
        killed.kill()
        killed.wait()
        live.start_worker()
        send(*(viewed(f"restarted-{lead}", activation + 1) for lead in leads))

        transitions = live.read(topics.LEAD_TRANSITIONS)
        mqls = live.read(topics.LEAD_MQL)

    assert {(mql.lead_id, mql.model_version) for mql in mqls} == {
        *((lead, "one") for lead in leads),
        *((f"after-{lead}", "two") for lead in leads),
        *((f"restarted-{lead}", "two") for lead in leads),
    }
    assert len({mql.id for mql in mqls}) == len(mqls)
    reference = replay(sent, load_models(directory)).effective.decisions()
    assert effective(transitions) == effective(d for d in reference if isinstance(d, Transition))
