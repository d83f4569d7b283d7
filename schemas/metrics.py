"""Every Prometheus metric, once, with the calls that fill them: once a batch, never once an event.

No label names a lead or a person. `stage` is identify, lifecycle, sink or collect; `topic` is the
bare contract name; `source` is the name of a source of the collector.
"""

from __future__ import annotations

import platform
from collections import Counter as Count
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from typing import Final, Protocol, TypeVar

from prometheus_client import Counter, Gauge, Histogram

M = TypeVar("M", Counter, Gauge, Histogram)

_TOPIC: Final = attrgetter("topic")
_TIMESTAMP_MS: Final = attrgetter("timestamp_ms")

SINK: Final = "sink"
COLLECT: Final = "collect"
"""What the sink and the collector call themselves where the workers name their stage."""

_QUICK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# History that is replayed is hours and days behind, which is no fault.
_PATIENT_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400)
_RESTORE_S: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

BUILD_INFO = Gauge(
    "leadstream_build_info",
    "Always 1; the labels tell the version of leadstream and of Python.",
    ["version", "python"],
)
RECORDS_IN = Counter(
    "leadstream_records_in_total",
    "Input records whose effects are committed.",
    ["stage", "topic"],
)
RECORDS_OUT = Counter(
    "leadstream_records_out_total",
    "Output records committed, without stores and dead letters.",
    ["stage", "topic"],
)
DEAD_LETTERS = Counter(
    "leadstream_dead_letters_total",
    "Records that could not be processed, by their topic and the kind of the fault.",
    ["stage", "topic", "kind"],
)
SOURCE_CHANGES = Counter(
    "leadstream_source_changes_total",
    "Changes that `leadstream connect` read, by what became of them: events, nothing (the mapping "
    "makes none of it), unmapped (the entity has no mapping), gap, tombstone.",
    ["stage", "entity", "outcome"],
)
TRANSACTIONS_COMMITTED = Counter(
    "leadstream_transactions_committed_total",
    "Batches of a partition committed to Kafka; a transaction may hold several.",
    ["stage"],
)
BATCH_DURATION = Histogram(
    "leadstream_batch_duration_seconds",
    "From the start of a batch's processing to the commit of its transaction.",
    ["stage"],
    buckets=_QUICK_S,
)
END_TO_END_LATENCY = Histogram(
    "leadstream_end_to_end_latency_seconds",
    "From an input record's Kafka timestamp to the commit of its effects, for the oldest and the "
    "newest record of each batch.",
    ["stage", "record"],
    buckets=_PATIENT_S,
)
LAG = Gauge(
    "leadstream_lag_records",
    "Offsets between what is processed and the end of the topic partition.",
    ["stage", "topic", "partition"],
)
ACTIVE_PARTITIONS = Gauge(
    "leadstream_active_partitions",
    "Partitions that this process is processing.",
    ["stage"],
)
RESTORING_PARTITIONS = Gauge(
    "leadstream_restoring_partitions",
    "Partitions that are assigned, but not yet restored.",
    ["stage"],
)
RESTORED_RECORDS = Counter(
    "leadstream_restored_records_total",
    "Store records read while restoring.",
    ["stage"],
)
RESTORE_DURATION = Histogram(
    "leadstream_restore_duration_seconds",
    "Restoring one partition, from its first to its last store record.",
    ["stage"],
    buckets=_RESTORE_S,
)
TIMER_DELAY = Histogram(
    "leadstream_timer_delay_seconds",
    "From the instant of the oldest deadline that was due to the commit of what it says.",
    ["stage"],
    buckets=_PATIENT_S,
)
LATE_EVENTS = Counter(
    "leadstream_late_events_total",
    "Events older than the newest of their lead: inserted where they belong (reordered), or older "
    "than what can still be folded again (beyond_tail). Repeated events count too.",
    ["stage", "kind"],
)
SINK_ROWS = Counter(
    "leadstream_sink_rows_total",
    "Rows inserted into ClickHouse, by table.",
    ["table"],
)
SINK_INSERT_DURATION = Histogram(
    "leadstream_sink_insert_duration_seconds",
    "Inserting one batch into all its tables and writing the positions, retries included.",
    buckets=_QUICK_S,
)
SINK_DELAY = Histogram(
    "leadstream_sink_delay_seconds",
    "From a record's Kafka timestamp to its insert, for the oldest and the newest of each batch.",
    ["record"],
    buckets=_PATIENT_S,
)
SINK_RETRIES = Counter(
    "leadstream_sink_retries_total",
    "Attempts at ClickHouse that failed and were made again.",
)
SINK_BUFFERED_RECORDS = Gauge(
    "leadstream_sink_buffered_records",
    "Records read from Kafka and not yet inserted.",
)
SINK_BUFFERED_BYTES = Gauge(
    "leadstream_sink_buffered_bytes",
    "Keys, values and headers of the records read from Kafka and not yet inserted.",
)


COLLECT_REQUESTS = Counter(
    "leadstream_collect_requests_total",
    "Requests answered, by source (empty: nobody known) and status.",
    ["source", "status"],
)
COLLECT_EVENTS = Counter(
    "leadstream_collect_events_total",
    "Events taken over HTTP and acknowledged by Kafka, repeated ones too.",
    ["source"],
)
COLLECT_REQUEST_DURATION = Histogram(
    "leadstream_collect_request_duration_seconds",
    "From the head of a request to its answer.",
    buckets=_QUICK_S,
)
COLLECT_ACKNOWLEDGE_DURATION = Histogram(
    "leadstream_collect_acknowledge_duration_seconds",
    "From handing a request's records to the producer to Kafka's last acknowledgement.",
    buckets=_QUICK_S,
)
COLLECT_PENDING_BYTES = Gauge(
    "leadstream_collect_pending_bytes",
    "Bytes of requests that are read and not yet answered.",
)


class InputRecord(Protocol):
    """What the calls read of a record that came in."""

    @property
    def topic(self) -> str: ...
    @property
    def timestamp_ms(self) -> int: ...


class OutputRecord(Protocol):
    """What the calls read of a record that goes out."""

    @property
    def topic(self) -> str: ...


class Letter(Protocol):
    """What the calls read of a dead letter."""

    @property
    def record(self) -> InputRecord: ...
    @property
    def kind(self) -> str: ...


def batch_committed(
    stage: str,
    records: Sequence[InputRecord],
    outputs: Iterable[OutputRecord],
    dead_letters: Iterable[Letter],
    duration_s: float,
    committed_at_ms: int,
) -> None:
    """Count one committed batch; `outputs` without stores and dead letters."""
    _child(TRANSACTIONS_COMMITTED, stage).inc()
    _child(BATCH_DURATION, stage).observe(duration_s)
    for topic, count in Count(map(_TOPIC, records)).items():
        _child(RECORDS_IN, stage, topic).inc(count)
    for topic, count in Count(map(_TOPIC, outputs)).items():
        _child(RECORDS_OUT, stage, topic).inc(count)
    letters = Count((letter.record.topic, letter.kind) for letter in dead_letters)
    for (topic, kind), count in letters.items():
        _child(DEAD_LETTERS, stage, topic, kind).inc(count)
    if records:
        times = list(map(_TIMESTAMP_MS, records))
        oldest_s, newest_s = _ages_s(times, committed_at_ms)
        _child(END_TO_END_LATENCY, stage, "oldest").observe(oldest_s)
        _child(END_TO_END_LATENCY, stage, "newest").observe(newest_s)


def changes_read(stage: str, found: Mapping[tuple[str, str], int]) -> None:
    """Count changes by entity and what became of them."""
    for (entity, outcome), count in found.items():
        _child(SOURCE_CHANGES, stage, entity, outcome).inc(count)


def timer_fired(stage: str, due_ms: int, committed_at_ms: int) -> None:
    """Say how long after its instant the oldest deadline of a batch was committed."""
    _child(TIMER_DELAY, stage).observe(max(0, committed_at_ms - due_ms) / 1000)


def partition_restored(stage: str, records: int, duration_s: float) -> None:
    """Count what a partition's restore read, and how long it took."""
    _child(RESTORED_RECORDS, stage).inc(records)
    _child(RESTORE_DURATION, stage).observe(duration_s)


def partitions_held(stage: str, active: int, restoring: int) -> None:
    """Say how many partitions a stage holds, after each change."""
    _child(ACTIVE_PARTITIONS, stage).set(active)
    _child(RESTORING_PARTITIONS, stage).set(restoring)


def lag_measured(stage: str, lags: Mapping[tuple[str, int], int]) -> None:
    """Replace a stage's lags by those of the (bare topic, partition) that it holds now."""
    for known in _lags_of.get(stage, set()) - lags.keys():
        LAG.remove(stage, known[0], str(known[1]))
    for (topic, partition), records in lags.items():
        LAG.labels(stage, topic, str(partition)).set(max(0, records))
    _lags_of[stage] = set(lags)


def late_events_seen(stage: str, reordered: int, beyond_tail: int) -> None:
    """Count the events of a batch that were older than the newest of their lead."""
    # Also by nothing: Prometheus does not see the first increase of a counter that was not there.
    _child(LATE_EVENTS, stage, "reordered").inc(reordered)
    _child(LATE_EVENTS, stage, "beyond_tail").inc(beyond_tail)


def rows_inserted(
    rows: Mapping[str, int], record_times_ms: Sequence[int], duration_s: float, now_ms: int
) -> None:
    """Count one batch of the sink: rows by table, and the Kafka times of its records."""
    for table, count in rows.items():
        _child(SINK_ROWS, table).inc(count)
    SINK_INSERT_DURATION.observe(duration_s)
    if record_times_ms:
        oldest_s, newest_s = _ages_s(record_times_ms, now_ms)
        _child(SINK_DELAY, "oldest").observe(oldest_s)
        _child(SINK_DELAY, "newest").observe(newest_s)


def insert_retried() -> None:
    """Count an attempt at ClickHouse that failed and will be made again."""
    SINK_RETRIES.inc()


def buffered(records: int, size_bytes: int) -> None:
    """Say what the sink holds that is not inserted yet."""
    SINK_BUFFERED_RECORDS.set(records)
    SINK_BUFFERED_BYTES.set(size_bytes)


def collect_answered(source: str, status: int, duration_s: float) -> None:
    """Count one answer of the collector."""
    _child(COLLECT_REQUESTS, source, str(status)).inc()
    COLLECT_REQUEST_DURATION.observe(duration_s)


def collect_taken(source: str, events: int, letters: Sequence[tuple[str, str]]) -> None:
    """Count what a request brought; `letters` are topics and kinds of what gave no event."""
    _child(COLLECT_EVENTS, source).inc(events)
    for topic, kind in letters:
        _child(DEAD_LETTERS, COLLECT, topic, kind).inc()


def collect_acknowledged(duration_s: float) -> None:
    """Say how long Kafka took for the records of a request."""
    COLLECT_ACKNOWLEDGE_DURATION.observe(duration_s)


def collect_pending(size_bytes: int) -> None:
    """Say what the collector holds of requests that are under way."""
    COLLECT_PENDING_BYTES.set(size_bytes)


def process_started() -> None:
    """Publish the version of this process."""
    BUILD_INFO.labels(_version(), platform.python_version()).set(1)


def _ages_s(times_ms: Sequence[int], now_ms: int) -> tuple[float, float]:
    oldest = max(0, now_ms - min(times_ms)) / 1000
    return oldest, max(0, now_ms - max(times_ms)) / 1000


def _version() -> str:
    try:
        return version("leadstream")
    except PackageNotFoundError:
        return "unknown"


@cache
def _child(metric: M, *labels: str) -> M:
    """Return the part of a metric that has these labels; to look it up takes the library longer."""
    found: M = metric.labels(*labels)
    return found


_lags_of: dict[str, set[tuple[str, int]]] = {}
