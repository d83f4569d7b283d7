"""What the benchmarks ask the broker of topics: how far they go, and to delete them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from leadstream.schemas.settings import Settings


def ends_of(admin: AdminClient, settings: Settings, names: Sequence[str]) -> dict[str, int]:
    """Return how far each topic (bare name) goes, all its partitions together."""
    asked = {
        TopicPartition(settings.topics.full(name), number): OffsetSpec.latest()
        for name in names
        for number in range(settings.topic_partitions or 1)
    }
    ends = dict.fromkeys(names, 0)
    for place, future in admin.list_offsets(asked).items():
        ends[settings.topics.bare(place.topic)] += future.result().offset
    return ends


def delete(admin: AdminClient, full_names: Iterable[str]) -> None:
    """Return when the broker has agreed; the topics vanish a moment later."""
    for future in admin.delete_topics(list(full_names)).values():
        future.result()
