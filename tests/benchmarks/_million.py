"""What a million events a second would take, computed from what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from _tables import markdown

Figures = Mapping[str, Any]

EVENTS_A_SECOND = 1_000_000
UTILISATION = 0.6
"""Share of a core, or of a sink, that is planned for; the rest is for peaks and catching up."""
REPLICAS = 3
PARTITION_SPARE = 2
"""Partitions for each worker, so that workers can be added without moving keys."""
LEADS = 100_000_000
SINK_OF = "mixed_http_leadstream"


def on_paper(results: Mapping[str, Figures]) -> str:
    """Return the calculation as Markdown; empty as long as its figures were not measured."""
    ours = results.get("throughput", {}).get("contenders", {}).get("leadstream")
    if not ours:
        return ""
    cpu_us, broker_us = (
        ours[name]["median"] for name in ("cpu_us_per_event", "broker_cpu_us_per_event")
    )
    cores = EVENTS_A_SECOND * cpu_us / 1e6 / UTILISATION
    rows = [
        ("worker's CPU an event", f"{cpu_us:.1f} µs", "throughput"),
        (
            "**workers** (one core each)",
            f"**{cores:,.0f}**",
            f"events/s by CPU, {UTILISATION:.0%} busy",
        ),
        (
            "**partitions** of each topic",
            f"**{_round_up(cores * PARTITION_SPARE):,}**",
            f"{PARTITION_SPARE} a worker",
        ),
        ("broker's CPU an event, one replica", f"{broker_us:.1f} µs", "throughput"),
        (
            "**broker cores**",
            f"**{EVENTS_A_SECOND * broker_us * REPLICAS / 1e6 / UTILISATION:,.0f}**",
            f"{REPLICAS} replicas, {UTILISATION:.0%} busy",
        ),
    ]
    rows += _of_the_log(results.get("scale", {}))
    rows += _of_clickhouse(results)
    rows += _of_the_state(results.get("scale", {}), cores)
    assumed = [
        "Cost an event stays as measured with more workers and partitions: each partition is "
        "folded alone, and keys spread evenly. A lead that is hotter than a core is not helped.",
        f"A replica costs a broker as much as the leader does, so {REPLICAS} replicas cost "
        f"{REPLICAS} times: more than it is, since followers fetch whole batches.",
        f"{UTILISATION:.0%} of each core and of each sink is used in the steady state.",
        "Cores like those that measured, one worker process on each; network and disks that "
        "carry what the rows below say.",
        "Records and bytes an event are those of workers that catch up, in full batches. Where "
        "batches are smaller, states are written and told more often: at most once an event.",
        f"{LEADS / 1e6:,.0f} M leads, each with as long a history as those of the measurement.",
    ]
    head = ("for 1,000,000 input events/s", "", "from")
    told = "\n".join(f"- {line}" for line in assumed)
    return f"{markdown(head, rows)}\n\nAssumed:\n\n{told}"


def _of_the_log(scale: Figures) -> list[tuple[str, str, str]]:
    written = scale.get("workers", {}).get("written_an_event")
    if not written:
        return []
    size = sum(of["bytes"] for of in written.values())
    per_s = size * EVENTS_A_SECOND / 1e9
    return [
        ("bytes in Kafka an event, all topics", f"{size:,.0f}", "scale --only workers"),
        (
            "written to the brokers' disks",
            f"{per_s * REPLICAS:,.1f} GB/s",
            f"{REPLICAS} replicas; {per_s * 86.4:,.0f} TB a day before compaction, one replica",
        ),
    ]


def _of_clickhouse(results: Mapping[str, Figures]) -> list[tuple[str, str, str]]:
    written = results.get("scale", {}).get("workers", {}).get("written_an_event")
    sink = results.get("sink", {}).get(SINK_OF)
    if not written or not sink:
        return []
    sunk = ("lead.events", "lead.transitions", "lead.sla", "lead.leaks", "lead.state")
    records = sum(written[topic]["records"] for topic in sunk if topic in written)
    sinks = records * EVENTS_A_SECOND / sink["rows_s"] / UTILISATION
    return [
        ("records for ClickHouse an event", f"{records:.2f}", "scale --only workers"),
        ("rows/s of a sink, over HTTP", f"{sink['rows_s']:,}", "sink"),
        ("**sinks**, and inserting threads of ClickHouse", f"**{sinks:,.0f}**", "records / rows/s"),
    ]


def _of_the_state(scale: Figures, workers: float) -> list[tuple[str, str, str]]:
    found = scale.get("leads", {}).get("memory_fit")
    if not found:
        return []
    rows = [
        ("memory a lead", f"{found['slope']:,.0f} bytes", "scale --only leads"),
        (
            "**memory for the state**",
            f"**{found['slope'] * LEADS / 1e9:,.0f} GB**",
            f"{found['slope'] * LEADS / workers / 1e9:.1f} GB a worker",
        ),
    ]
    if time := scale.get("recovery", {}).get("time_fit"):
        restored_s = time["intercept"] + time["slope"] * LEADS / workers
        rows.append(
            ("a lost worker's leads are restored in", f"{restored_s:,.0f} s",
             "scale --only recovery; spread over the others it is shorter")
        )  # fmt: skip
    return rows


def _round_up(value: float) -> int:
    return -(-round(value) // 16) * 16
