from __future__ import annotations

from pathlib import Path

import pytest

from leadstream.infra.topics import TopicsError, apply_topics
from leadstream.infra.topics_file import load_plan
from leadstream.schemas import topics
from leadstream.schemas.settings import Settings, SettingsError


def test_every_topic_is_declared_and_no_other() -> None:
    assert load_plan(Settings()).topics.keys() == set(topics.ALL)


def test_what_holds_only_the_latest_is_compacted_and_the_rest_kept_whole() -> None:
    plan = load_plan(Settings())
    compacted = {t for t in topics.ALL if plan.configs_of(t)["cleanup.policy"] == "compact"}
    assert compacted == {
        topics.LEAD_STATE,
        topics.LEAD_ACCOUNTS,
        *topics.STORES,
        *topics.DEAD_LETTERS,
    }
    assert all(plan.configs_of(topic)["retention.ms"] == "-1" for topic in topics.ALL)


def test_settings_win_over_the_file() -> None:
    plan = load_plan(Settings(topic_replication_factor=3, topic_min_insync_replicas=2))
    assert plan.defaults.replication_factor == 3
    assert plan.configs_of(topics.LEAD_EVENTS)["min.insync.replicas"] == "2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("topics: {lead.event: {}}", 'unknown topic "lead.event"; did you mean "lead.events"?'),
        ("topics: {lead.sla: {config: {a: 1}}}", "topics.lead.sla.config: Extra inputs"),
        ("defaults: {partitions: 0}", "defaults.partitions: Input should be greater"),
        ("defaults:", "defaults: Input should be a valid dictionary or instance"),
        ("- a", "expected `defaults:` and `topics:`"),
        ("a: [", ":1: not YAML"),
    ],
)
def test_a_fault_in_an_own_file_names_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_plan(Settings(topics_file=path))
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)


def test_more_acknowledging_copies_than_copies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broker:
        def __init__(self, **_: object) -> None:
            pass

        def list_topics(self) -> list[str]:
            return []

        def close(self) -> None:
            pass

    monkeypatch.setattr("leadstream.infra.topics.KafkaAdminClient", Broker)
    monkeypatch.setattr("leadstream.infra.topics.require_kafka", lambda *_: None)
    with pytest.raises(TopicsError, match="nothing could be written"):
        apply_topics(Settings(topic_replication_factor=1, topic_min_insync_replicas=2))
