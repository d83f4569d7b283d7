"""The stores of what `leadstream connect` reads: one a source's topic, with as many partitions.

They cannot be in `topics.yaml`, since the topics are not ours: each has its own partition count,
which its owner may raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kafka.admin import KafkaAdminClient

from leadstream.infra.topics import TopicsError, create_topics, open_admin
from leadstream.infra.topics_file import load_plan
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Stage

CONFIGS: Final = {"cleanup.policy": "compact", "segment.bytes": "67108864"}


class SourceTopicsError(TopicsError):
    """A source's topic is not what it was, or is not there."""

    exit_code = ExitCode.CONFIGURATION


def ensure_stores(settings: Settings, stages: Sequence[Stage]) -> list[str]:
    """Create or grow the stores of stages that have one input each, and say what was done.

    Raises:
        SourceTopicsError: a source's topic is missing, or has fewer partitions than it had.
        TopicsError: Kafka refuses, or is away.
    """
    full = settings.topics.full
    with open_admin(settings) as admin:
        counts = _counts(admin, [full(topic) for s in stages for topic in (*s.inputs, s.store)])
        wanted: dict[str, int] = {}
        for stage in stages:
            (topic,) = map(full, stage.inputs)
            if topic not in counts:
                raise SourceTopicsError(
                    f"no topic {topic} on {settings.kafka_bootstrap}, which the sources name: "
                    "correct its name, or start what writes it first"
                )
            wanted[full(stage.store)] = counts[topic]
            if counts.get(full(stage.store), 0) > counts[topic]:
                raise SourceTopicsError(
                    f"{topic} has {counts[topic]} partitions, but was read with "
                    f"{counts[full(stage.store)]}: was it made anew? Then give the source another "
                    "name, or delete its store "
                    f"{full(stage.store)}"
                )
        missing = {name: count for name, count in wanted.items() if name not in counts}
        grown = {n: count for n, count in wanted.items() if n in counts and counts[n] < count}
        _create(admin, settings, missing)
        if grown:
            admin.create_partitions(grown)
    return [
        *(f"{name}: created, {count} partitions" for name, count in missing.items()),
        *(f"{name}: grown to {count} partitions" for name, count in grown.items()),
    ]


def _counts(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    existing = sorted(set(admin.list_topics()) & set(names))
    if not existing:
        return {}
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(existing)}


def _create(admin: KafkaAdminClient, settings: Settings, wanted: Mapping[str, int]) -> None:
    defaults = load_plan(settings).defaults
    configs = dict(CONFIGS)
    if defaults.min_insync_replicas is not None:
        configs["min.insync.replicas"] = str(defaults.min_insync_replicas)
    topics = {name: (partitions, configs) for name, partitions in wanted.items()}
    create_topics(admin, topics, defaults.replication_factor)
