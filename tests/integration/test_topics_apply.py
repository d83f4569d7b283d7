"""On Apache Kafka and on the embedded broker: the same promises."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from leadstream.infra.cli import cli
from leadstream.infra.topics import TopicsError, apply_topics, topic_states
from leadstream.schemas import topics
from leadstream.schemas.settings import Settings


@pytest.fixture(params=["apache", "embedded"])
def settings(request: pytest.FixtureRequest, topic_prefix: str) -> Settings:
    if request.param == "apache":
        bootstrap = request.getfixturevalue("kafka").bootstrap
    else:
        bootstrap = request.getfixturevalue("embedded")
    return Settings(kafka_bootstrap=bootstrap, topic_prefix=topic_prefix)


def await_until(condition: Callable[[], bool]) -> None:
    """A broker applies what it acknowledged a moment later."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the broker did not apply the change"
        time.sleep(0.01)


def configs_on(settings: Settings, topic: str) -> dict[str, str]:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, settings.topics.full(topic))
        shown = admin.describe_configs([resource])["topic"][resource.name]
    finally:
        admin.close()
    return {key: entry["value"] for key, entry in shown.items()}


def set_config(settings: Settings, topic: str, key: str, value: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        name = settings.topics.full(topic)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {key: value})])
    finally:
        admin.close()
    await_until(lambda: configs_on(settings, topic).get(key) == value)


def run(settings: Settings, *arguments: str) -> Result:
    environment = {"LEADSTREAM_TOPIC_PREFIX": settings.topic_prefix}
    return CliRunner(env=environment).invoke(
        cli, ["topics", *arguments, "--kafka", settings.kafka_bootstrap]
    )


def test_missing_topics_are_created_once(settings: Settings) -> None:
    planned = run(settings, "apply", "--partitions", "2", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert not any(state.partitions for state in topic_states(settings))

    first = run(settings, "apply", "--partitions", "2")
    assert first.exit_code == 0, first.output
    assert first.output == planned.output.replace("would be ", "")
    assert first.output.count(": created: 2 partitions") == len(topics.ALL)

    second = run(settings, "apply", "--partitions", "2")
    assert second.output == "all topics are as declared; nothing was done\n"


def test_stores_states_and_letters_are_compacted_and_nothing_expires(settings: Settings) -> None:
    apply_topics(settings, partitions=1)
    for topic in topics.ALL:
        states = (topics.LEAD_STATE, topics.LEAD_ACCOUNTS)
        compacted = topic in (*topics.STORES, *states, *topics.DEAD_LETTERS)
        configs = configs_on(settings, topic)
        assert configs.get("cleanup.policy", "delete") == ("compact" if compacted else "delete")
        assert configs["retention.ms"] == "-1"


def test_a_differing_configuration_is_altered_back(settings: Settings) -> None:
    apply_topics(settings, partitions=1)
    set_config(settings, topics.LEAD_STATE, "cleanup.policy", "delete")
    shown = run(settings, "show")
    assert "  differs: cleanup.policy is delete, declared compact" in shown.output

    (change,) = apply_topics(settings)

    assert change.name == settings.topics.full(topics.LEAD_STATE)
    assert (change.action, change.detail) == ("altered", "cleanup.policy: delete -> compact")
    await_until(lambda: apply_topics(settings) == [])
    assert configs_on(settings, topics.LEAD_STATE)["cleanup.policy"] == "compact"


def test_another_partition_count_is_refused_and_nothing_changed(settings: Settings) -> None:
    apply_topics(settings, partitions=2)
    set_config(settings, topics.LEAD_STATE, "cleanup.policy", "delete")

    result = run(settings, "apply", "--partitions", "3")

    assert result.exit_code == 1
    assert "move keys to other partitions" in result.output
    assert "Ask for 2" in result.output
    assert {state.partitions for state in topic_states(settings)} == {2}
    assert configs_on(settings, topics.LEAD_STATE)["cleanup.policy"] == "delete"


def test_a_new_topic_gets_the_partitions_that_the_others_have(settings: Settings) -> None:
    apply_topics(settings, partitions=2)
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    admin.delete_topics([settings.topics.full(topics.LEAD_SLA)])
    admin.close()
    await_until(lambda: any(state.partitions == 0 for state in topic_states(settings)))

    created = apply_topics(settings)

    assert [change.name for change in created] == [settings.topics.full(topics.LEAD_SLA)]
    assert {state.partitions for state in topic_states(settings)} == {2}


def test_topics_that_do_not_share_partition_numbers_are_refused(settings: Settings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    admin.create_topics(
        {
            settings.topics.full(topics.TOUCHPOINTS): {"num_partitions": 1},
            settings.topics.full(topics.CRM_EVENTS): {"num_partitions": 2},
        },
        wait_for_metadata=True,
    )
    admin.close()
    with pytest.raises(TopicsError, match="different partition counts"):
        apply_topics(settings)


def test_more_copies_than_brokers_are_refused_with_the_brokers_reason(settings: Settings) -> None:
    with pytest.raises(TopicsError, match="replication factor"):
        apply_topics(settings, partitions=1, replication_factor=3)


def test_a_differing_number_of_copies_is_said_and_kept(settings: Settings) -> None:
    apply_topics(settings, partitions=1)
    kept = apply_topics(settings, replication_factor=3)
    assert {change.action for change in kept} == {"kept"}
    assert len(kept) == len(topics.ALL)


def test_own_lines_win_over_the_shipped_file(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(
        "defaults: {partitions: 3}\ntopics:\n  lead.sla: {configs: {retention.ms: 86400000}}\n"
    )
    own = settings.model_copy(update={"topics_file": path})
    apply_topics(own)
    assert {state.partitions for state in topic_states(own)} == {3}
    assert configs_on(own, topics.LEAD_SLA)["retention.ms"] == "86400000"
    assert configs_on(own, topics.LEAD_EVENTS)["retention.ms"] == "-1"


def test_a_broker_that_does_not_answer_is_named_within_ten_seconds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        result = CliRunner().invoke(cli, ["topics", "apply", "--kafka", address])
    assert result.exit_code == 1
    assert f"cannot reach Kafka at {address}" in result.output
    assert time.monotonic() - started < 10
