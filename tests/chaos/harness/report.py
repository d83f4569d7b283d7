"""A run as JSON, and runs as a page."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leadstream.infra.kafka.local import kafka_version

_EXITS_SHOWN = 12


def machine() -> dict[str, Any]:
    """Return what the run ran on; no names, no paths."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cores": os.cpu_count(), "memory_gib": round(pages / 2**30)}


def versions() -> dict[str, str]:
    """Return the versions of what took part."""
    import aiokafka
    import chdb
    import confluent_kafka

    return {
        "Apache Kafka": kafka_version(),
        "ClickHouse (chDB)": chdb.engine_version,
        "aiokafka": aiokafka.__version__,
        "librdkafka (sender and reader)": confluent_kafka.libversion()[0],
        "Python": platform.python_version(),
    }


def exits_of(exits: Iterable[Any]) -> list[dict[str, Any]]:
    """Return how often which kind of process ended how."""
    counted: Counter[tuple[str, int, str]] = Counter()
    for end in exits:
        why = f"our {end.ours}" if end.ours else end.reason
        counted[end.name.partition("-")[0], end.code, why] += 1
    return [
        {"process": process, "code": code, "why": why, "times": times}
        for (process, code, why), times in counted.most_common()
    ]


def write(runs: list[dict[str, Any]], path: Path) -> None:
    """Write runs as JSON, and the same as a page beside it; `path` without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = ",\n".join("{\n" + ",\n".join(_lines(run)) + "\n}" for run in runs)
    path.with_suffix(".json").write_text(f"[{told}]\n", "utf-8")
    path.with_suffix(".md").write_text(page(runs), "utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a JSON file."""
    found = json.loads(path.read_text("utf-8"))
    return found if isinstance(found, list) else [found]


def _lines(run: dict[str, Any]) -> list[str]:
    return [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in run.items()]


def page(runs: list[dict[str, Any]]) -> str:
    """Return runs as markdown."""
    total = {what: sum(run[what] for run in runs) for what in ("lost", "doubled", "wrong")}
    faults = sum(len(run["faults"]) for run in runs)
    minutes = sum(run["faults_minutes"] for run in runs)
    lines = [
        "# Chaos report",
        "",
        "Made by `python -m tests.chaos.run`; what it means is in [chaos.md](chaos.md).",
        "",
        f"**{faults} faults in {minutes:.0f} minutes: lost {total['lost']}, doubled "
        f"{total['doubled']}, wrong {total['wrong']}.**",
        "",
        *_table(
            ["", *(_title(run) for run in runs)],
            [[name, *(get(run) for run in runs)] for name, get in _FIGURES],
        ),
        "## Faults",
        "",
        *_counts([Counter(f["kind"] for f in run["faults"]) for run in runs], runs),
        "## What was decided",
        "",
        *_counts([run["transitions"] for run in runs], runs),
        "## Poison",
        "",
        *_counts([run["poison"] for run in runs], runs),
    ]
    for run in runs:
        lines += ["", f"## {_title(run)}: comparisons", ""]
        lines += _table(
            ["place", "expected", "found", "lost", "doubled", "wrong"],
            [
                [
                    d["place"],
                    *(str(d[k]) for k in ("expected", "found", "lost", "doubled", "wrong")),
                ]
                for d in run["comparisons"]
            ],
        )
        for difference in run["comparisons"]:
            lines += [f"- {difference['place']}: `{text}`" for text in difference["samples"]]
        lines += ["", f"## {_title(run)}: how processes ended", ""]
        lines += _table(
            ["process", "exit code", "why", "times"],
            [
                [e["process"], str(e["code"]), e["why"].replace("|", "/"), str(e["times"])]
                for e in run["exits"][:_EXITS_SHOWN]
            ],
        )
    return "\n".join(lines).rstrip() + "\n"


_FIGURES = (
    ("seed", lambda run: str(run["seed"])),
    ("brokers", lambda run: str(run["brokers"])),
    ("isolation of a broker", lambda run: run["isolation"]),
    ("membership", lambda run: run["membership"]),
    ("schema registry", lambda run: "yes" if run["registry"] else "no"),
    ("workers, sinks", lambda run: f"{run['workers']}, {run['sinks']}"),
    ("partitions a topic", lambda run: str(run["partitions"])),
    ("machine", lambda run: f"{run['machine']['cores']} cores, {run['machine']['memory_gib']} GiB"),
    ("versions", lambda run: ", ".join(" ".join(pair) for pair in run["versions"].items())),
    ("minutes of faults", lambda run: f"{run['faults_minutes']:.1f}"),
    ("faults injected", lambda run: str(len(run["faults"]))),
    (
        "worker starts, sink starts",
        lambda run: f"{run['starts']['worker']}, {run['starts']['sink']}",
    ),
    ("records sent", lambda run: str(run["figures"]["input records"])),
    (
        "acknowledged without an offset",
        lambda run: str(run["figures"].get("acknowledged without an offset", 0)),
    ),
    ("of them poison", lambda run: str(run["figures"]["poison records"])),
    ("leads", lambda run: str(run["figures"]["leads"])),
    ("decisions that hold", lambda run: str(run["figures"]["decisions that hold"])),
    ("decisions said, with corrections", lambda run: str(_said(run))),
    ("rows compared in ClickHouse", lambda run: str(_rows(run))),
    ("hanging transactions ended", lambda run: str(run["hanging_ended"])),
    ("seconds to zero lag after the last fault", lambda run: f"{run['zero_lag_s']:.0f}"),
    ("lost", lambda run: str(run["lost"])),
    ("doubled", lambda run: str(run["doubled"])),
    ("wrong", lambda run: str(run["wrong"])),
)


def _said(run: dict[str, Any]) -> int:
    names = ("lead.transitions", "lead.sla", "lead.leaks")
    return sum(int(run["figures"][f"records on {name}"]) for name in names)


def _rows(run: dict[str, Any]) -> int:
    tables = [d for d in run["comparisons"] if d["place"].startswith("ClickHouse")]
    return sum(int(d["expected"]) for d in tables)


def _title(run: dict[str, Any]) -> str:
    brokers = "one broker" if run["brokers"] == 1 else f"{run['brokers']} brokers"
    return f"{brokers}, {run['membership']}"


def _counts(counts: list[dict[str, int]], runs: list[dict[str, Any]]) -> list[str]:
    names = sorted(set().union(*counts))
    return _table(
        ["", *(_title(run) for run in runs)],
        [[name, *(str(count.get(name, 0)) for count in counts)] for name in names],
    )


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]
