"""Creates the topics on Kafka and keeps their configuration as declared; safe to run again.

It never moves keys: the partition count of an existing topic is not changed, because a lead's
records would then be split over two partitions, and its order and state with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, for_code

from leadstream.infra.dlq.reading import DlqError
from leadstream.infra.dlq.writing import give_own_keys
from leadstream.infra.kafka.hanging import (
    Ended,
    HangingTransactionsError,
    end_hanging_transactions,
)
from leadstream.infra.topics_file import TopicPlan, load_plan
from leadstream.schemas import topics
from leadstream.schemas.connections import group_id, kafka_python_options
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, require_kafka
from leadstream.schemas.settings import Settings

REACH_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_MS = 8_000
REQUEST_TIMEOUT_MS = 30_000

_TOPIC_ALREADY_EXISTS = 36


class TopicsError(Exception):
    """The topics cannot be brought to what is declared; the message names why and the mend."""

    exit_code = ExitCode.TEMPORARY


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic on the broker, `partitions` 0 where it is missing, beside what is declared."""

    topic: str
    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]
    declared: Mapping[str, str]

    @property
    def differing(self) -> dict[str, tuple[str, str]]:
        """Return what differs: configuration to (on the broker, declared)."""
        return {
            key: (self.configs.get(key, ""), value)
            for key, value in self.declared.items()
            if self.configs.get(key) != value
        }


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What was done, or would be, to one topic; `name` is the name on the broker."""

    name: str
    action: Literal["created", "altered", "kept"]
    detail: str


def apply_topics(
    settings: Settings,
    partitions: int | None = None,
    replication_factor: int | None = None,
    dry_run: bool = False,
) -> list[TopicChange]:
    """Create what is missing, alter what differs, and return what was done.

    Without `partitions`, missing topics get as many as the existing ones have. A differing number
    of copies is said and kept.

    Raises:
        TopicsError: no broker answers, or it refuses, or a partition count would change;
            in the last case nothing was changed.
    """
    plan = load_plan(settings)
    with open_admin(settings) as admin:
        states = _states(admin, settings, plan)
        count = _partitions(states, partitions or settings.topic_partitions, plan)
        copies = replication_factor or plan.defaults.replication_factor
        _check_copies(plan, copies)
        missing = [state for state in states if not state.partitions]
        differing = [state for state in states if state.partitions and state.differing]
        if not dry_run:
            _prepare_letters(settings, differing)
            _create(admin, missing, count, copies)
            _alter(admin, differing)
    return [
        *(TopicChange(state.name, "created", _created(state, count, copies)) for state in missing),
        *(TopicChange(state.name, "altered", _altered(state)) for state in differing),
        *(
            TopicChange(state.name, "kept", _kept(state, copies))
            for state in states
            if copies and state.partitions and state.replication_factor != copies
        ),
    ]


def topic_states(settings: Settings) -> list[TopicState]:
    """Return every topic as it is on the broker; raises as `apply_topics`."""
    plan = load_plan(settings)
    with open_admin(settings) as admin:
        return _states(admin, settings, plan)


def end_hanging(settings: Settings) -> list[Ended]:
    """End our transactions that a killed broker left open; raises TopicsError."""
    ours = group_id(settings, "")

    def is_ours(transactional_id: str | None) -> bool:
        return transactional_id is not None and transactional_id.startswith(ours)

    with open_admin(settings) as admin:
        try:
            return end_hanging_transactions(admin, kafka_python_options(settings), is_ours)
        except HangingTransactionsError as error:
            raise TopicsError(str(error)) from None


@contextmanager
def open_admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """Give an admin client, whose faults within are told as TopicsError."""
    address = settings.kafka_bootstrap
    try:
        require_kafka(settings, REACH_TIMEOUT_S)
    except (KafkaAccessError, KafkaAwayError) as error:
        raise TopicsError(str(error)) from None
    try:
        admin = KafkaAdminClient(
            **kafka_python_options(settings),
            client_id=f"{settings.app_id}-topics",
            bootstrap_timeout_ms=CONNECT_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
    except KafkaError as error:
        raise TopicsError(
            f"no Kafka broker answers at {address} within {CONNECT_TIMEOUT_MS // 1000} s "
            f"({type(error).__name__}): check --kafka or LEADSTREAM_KAFKA_BOOTSTRAP, and "
            f"kafka_security (now {settings.kafka_security})"
        ) from None
    try:
        yield admin
    except KafkaTimeoutError as error:
        raise TopicsError(f"Kafka at {address} stopped answering: {error}: try again") from None
    except KafkaError as error:
        raise TopicsError(f"Kafka at {address}: {error}") from None
    finally:
        admin.close()


def _states(admin: KafkaAdminClient, settings: Settings, plan: TopicPlan) -> list[TopicState]:
    names = {topic: settings.topics.full(topic) for topic in topics.ALL}
    existing = set(admin.list_topics()) & set(names.values())
    found: dict[str, list[Any]] = {}
    configs: dict[str, dict[str, Any]] = {}
    if existing:
        found = {t["name"]: t["partitions"] for t in admin.describe_topics(sorted(existing))}
        declared_keys = {key for topic in topics.ALL for key in plan.configs_of(topic)}
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, name, sorted(declared_keys))
            for name in sorted(existing)
        ]
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
    states = []
    for topic, name in names.items():
        shown = configs.get(name, {})
        partitions = found.get(name, [])
        states.append(
            TopicState(
                topic=topic,
                name=name,
                partitions=len(partitions),
                replication_factor=len(partitions[0]["replica_nodes"]) if partitions else 0,
                configs={key: str(entry["value"]) for key, entry in shown.items()},
                declared=plan.configs_of(topic),
            )
        )
    return states


def _partitions(states: list[TopicState], asked: int | None, plan: TopicPlan) -> int:
    existing = [state for state in states if state.partitions]
    counts = {state.partitions for state in existing}
    if asked is None:
        if len(counts) > 1:
            shown = _counts(existing)
            raise TopicsError(
                f"the topics have different partition counts ({shown}): a stage needs the same "
                "partition number of all of them; delete the wrong ones if they are empty, or "
                "set up under another topic_prefix and replay into it"
            )
        return counts.pop() if counts else plan.defaults.partitions
    wrong = [state for state in existing if state.partitions != asked]
    if wrong:
        raise TopicsError(
            f"{asked} partitions asked, but there are {_counts(wrong)}: changing the count would "
            "move keys to other partitions, so that a lead's order and state would be split. "
            "Nothing was changed. "
            f"Ask for {wrong[0].partitions}, or set up a new topic_prefix with {asked} and replay "
            "into it"
        )
    return asked


def _counts(states: list[TopicState]) -> str:
    names: dict[int, list[str]] = {}
    for state in states:
        names.setdefault(state.partitions, []).append(state.name)
    return "; ".join(f"{count} in {', '.join(found)}" for count, found in sorted(names.items()))


def _check_copies(plan: TopicPlan, copies: int | None) -> None:
    least = plan.defaults.min_insync_replicas
    if copies is not None and least is not None and least > copies:
        raise TopicsError(
            f"min_insync_replicas is {least}, but each partition has {copies} "
            f"cop{'y' if copies == 1 else 'ies'}: nothing could be written; lower the one "
            "(LEADSTREAM_TOPIC_MIN_INSYNC_REPLICAS) or raise the other"
        )


def _create(
    admin: KafkaAdminClient, missing: list[TopicState], partitions: int, copies: int | None
) -> None:
    create_topics(admin, {state.name: (partitions, state.declared) for state in missing}, copies)


def create_topics(
    admin: KafkaAdminClient,
    wanted: Mapping[str, tuple[int, Mapping[str, str]]],
    copies: int | None,
) -> None:
    """Create topics, and wait until they are there; one that came meanwhile is left as it is.

    Args:
        wanted: partitions and configurations by full name.
        copies: None: as many as the broker's default.
    Raises:
        TopicsError: Kafka refuses; the message has its reasons.
    """
    if not wanted:
        return
    topics = {
        name: {
            "num_partitions": partitions,
            "replication_factor": copies or -1,
            "configs": dict(configs),
        }
        for name, (partitions, configs) in wanted.items()
    }
    answers = admin.create_topics(topics, raise_errors=False)["topics"]
    faults = [
        f"{answer['name']}: {answer['error_message'] or for_code(answer['error_code']).__name__}"
        for answer in answers
        if answer["error_code"] not in (0, _TOPIC_ALREADY_EXISTS)
    ]
    if faults:
        raise TopicsError("Kafka refuses to create topics:\n" + "\n".join(faults))
    admin.wait_for_topics(list(topics))


def _alter(admin: KafkaAdminClient, differing: list[TopicState]) -> None:
    if not differing:
        return
    resources = [
        ConfigResource(
            ConfigResourceType.TOPIC,
            state.name,
            {key: declared for key, (_, declared) in state.differing.items()},
        )
        for state in differing
    ]
    try:
        answers = admin.alter_configs(resources)["topic"]
    except ValueError as error:  # a configuration that the broker does not know
        raise TopicsError(f"Kafka refuses a configuration of topics.yaml: {error}") from None
    faults = [f"{name}: {answer}" for name, answer in answers.items() if str(answer) != "OK"]
    if faults:
        raise TopicsError("Kafka refuses to alter topics:\n" + "\n".join(faults))


def _prepare_letters(settings: Settings, differing: list[TopicState]) -> None:
    compacted = [
        state.topic
        for state in differing
        if state.topic in topics.DEAD_LETTERS
        and "compact" in state.differing.get("cleanup.policy", ("", ""))[1]
    ]
    if not compacted:
        return
    try:
        # A thread of its own, because whoever calls may have a running loop.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, give_own_keys(settings, compacted)).result()
    except DlqError as error:
        raise TopicsError(f"before {', '.join(compacted)} can be compacted: {error}") from None


def _created(state: TopicState, partitions: int, copies: int | None) -> str:
    configs = ", ".join(f"{key}={value}" for key, value in state.declared.items())
    copied = f", replication factor {copies}" if copies else ""
    return f"{partitions} partitions{copied}, {configs}"


def _altered(state: TopicState) -> str:
    return ", ".join(f"{key}: {was} -> {now}" for key, (was, now) in state.differing.items())


def _kept(state: TopicState, copies: int | None) -> str:
    return (
        f"replication factor {state.replication_factor}, {copies} asked: copies of an existing "
        "topic are moved with Kafka's own kafka-reassign-partitions"
    )
