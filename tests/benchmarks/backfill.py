"""A year of history through `leadstream replay --into-clickhouse`: one process, and every core.

The log repeats synthetic leads under other ids, and at other times of the year, since making them
anew costs more than folding them. Before anything is measured, both ways of folding must give the
same answer for a small log, row for row.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from _lab import LEADSTREAM, arguments, report

from leadstream.infra.backfill.run import WORK_PREFIX
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.codec import load_schema
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.ingest.jsonl import event_to_json_line

HISTORY_END = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY_DAYS = 180
SHIFTS = 12  # so many times of the year at which the same leads begin
YEAR_EVENTS = 100_000_000
SAMPLE_S = 0.25
TABLES = ("touchpoints", "crm_events", "transitions", "score_history", "sla", "leaks", "lead_state")
_EMITTED = ("revision", "supersedes")
_TIMES = ("event_time", "sent_at", "received_at")

Event = Touchpoint | CrmEvent


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=5_000_000, help="of the log that is measured")
    parser.add_argument(
        "--fewer-events", type=int, help="of a shorter log, for the line; default: a fifth; 0: none"
    )
    parser.add_argument("--one-events", type=int, default=50_000, help="for one process; 0: not")
    parser.add_argument("--base-leads", type=int, default=2000, help="that are repeated")
    parser.add_argument("--format", choices=("jsonl", "avro"), default="jsonl")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--directory", type=Path, help="for log, work and data; default: temporary")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="leadstream-benchmark-", dir=given.directory))
    # A benchmark that is told to stop must not leave its replay and its log behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        report("backfill", measure(given, directory), as_json=given.json)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(given: argparse.Namespace, directory: Path) -> dict[str, Any]:
    base = list(generate(given.base_leads, 7, HISTORY_END, HISTORY_DAYS))
    check_answers(base[: min(len(base), 20_000)], given, directory)
    figures: dict[str, Any] = {"format": given.format, "answers": "equal, one process and several"}
    if given.one_events:
        log = write_log(directory, base, given.one_events, given.format)
        figures["one process"] = run(log, given.one_events, 1, directory)
    fewer_events = given.events // 5 if given.fewer_events is None else given.fewer_events
    fewer = None
    if fewer_events:
        log = write_log(directory, base, fewer_events, given.format)
        fewer = run(log, fewer_events, given.processes, directory)
        figures[f"{given.processes} processes, a shorter log"] = fewer
    began = time.monotonic()
    log = write_log(directory, base, given.events, given.format)
    figures["log_written_s"] = round(time.monotonic() - began, 1)
    figures["log_bytes_per_event"] = round(log.stat().st_size / given.events)
    several = run(log, given.events, given.processes, directory)
    figures[f"{given.processes} processes"] = several
    if given.one_events:
        one = figures["one process"]
        figures["times as fast"] = round(several["events_per_s"] / one["events_per_s"], 2)
    figures["100 M events"] = extrapolated(several, fewer)
    return figures


def extrapolated(several: dict[str, Any], fewer: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a year would take, by the line through both sizes, or in proportion to one."""
    line_s = several["wall_s"] * YEAR_EVENTS / several["events"]
    told: dict[str, Any] = {}
    if fewer:
        more = several["events"] - fewer["events"]
        slope_s = (several["wall_s"] - fewer["wall_s"]) / more
        line_s = several["wall_s"] + slope_s * (YEAR_EVENTS - several["events"])
        told["events_per_s_of_the_line"] = round(1 / slope_s) if slope_s > 0 else None
        told["cpu_an_event_to_shorter_log"] = round(
            several["cpu_us_per_event"] / fewer["cpu_us_per_event"], 2
        )
    return {
        "hours": round(line_s / 3600, 2),
        **told,
        "work_dir_gb": round(several["work_bytes_per_event"] * YEAR_EVENTS / 1e9, 1),
        "data_gb": round(several["data_bytes_per_event"] * YEAR_EVENTS / 1e9, 1),
        "assumed": "leads as long as these, so that each event costs the same; as many cores",
    }


def check_answers(events: list[Event], given: argparse.Namespace, directory: Path) -> None:
    """End the benchmark if several processes give another answer than one."""
    log = write_log(directory, events, len(events), given.format)
    found = []
    for processes in (1, max(2, given.processes)):
        data = directory / "check"
        command(log, processes, data, directory).check_returncode()
        found.append(answers(data))
        shutil.rmtree(data)
    if found[0] != found[1]:
        raise SystemExit(f"the answers differ:\n{found[0]}\n{found[1]}")


def answers(data: Path) -> dict[str, Any]:
    """Return the transitions by stage, and a checksum of every table after deduplication."""
    found: dict[str, Any] = {}
    with ClickHouse(Settings(data_dir=data), read_only=True) as client:
        client.require_database()
        found["stages"] = client.query(
            "SELECT to_stage, count() FROM transitions FINAL GROUP BY to_stage ORDER BY to_stage"
        ).rows
        for table in TABLES:
            names = [name for name, *_ in client.query(f"DESCRIBE {client.table(table)}").rows]
            columns = ", ".join(f"`{name}`" for name in names if name not in _EMITTED)
            found[table] = client.query(
                f"SELECT count(), groupBitXor(cityHash64({columns})) FROM {table} FINAL"
            ).rows[0]
    return found


def run(log: Path, events: int, processes: int, directory: Path) -> dict[str, Any]:
    """Return what a replay of the log into an empty database costs."""
    data = directory / "data"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with Samples(directory) as samples:
        done = command(log, processes, data, directory, samples)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"replay ended with {done.returncode}:\n{done.stderr[-3000:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with ClickHouse(Settings(data_dir=data), read_only=True) as client:
        client.require_database()
        rows = {t: client.query(f"SELECT count() FROM {t}").rows[0][0] for t in TABLES}
    stored = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    shutil.rmtree(data)
    return {
        "events": events,
        "wall_s": round(wall_s, 1),
        "events_per_s": round(events / wall_s),
        "cpu_us_per_event": round(cpu_s / events * 1e6, 1),
        "cpu_s_by_process": samples.cpu_s(),
        "peak_memory_mb": round(samples.peak_bytes / 1e6),
        "work_bytes_per_event": round(samples.peak_work_bytes / events),
        "data_bytes_per_event": round(stored / events),
        "rows": rows,
        "phases": [line for line in done.stderr.splitlines() if line.startswith("[")][-1:],
    }


def command(
    log: Path, processes: int, data: Path, directory: Path, samples: Samples | None = None
) -> subprocess.CompletedProcess[str]:
    process = subprocess.Popen(
        [LEADSTREAM, "replay", log, "--into-clickhouse", "--quiet", "--data-dir", data,
         "--processes", str(processes), "--work-dir", directory],
        env={k: v for k, v in os.environ.items() if not k.startswith("LEADSTREAM_")},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    if samples is not None:
        samples.watch(process.pid)
    try:
        _, said = process.communicate()
    finally:
        process.terminate()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, None, said)


class Samples:
    """Memory and CPU time of a tree of processes, and the size of its work; a context manager.

    Memory is the sum of proportional shares (PSS), so that nothing counts twice.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._root = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._cpu_s: dict[str, float] = {}
        self.peak_bytes = self.peak_work_bytes = 0

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, pid: int) -> None:
        self._root = pid

    def cpu_s(self) -> list[float]:
        """Return the CPU time of each process, as last seen, seconds."""
        return [round(spent_s, 1) for spent_s in self._cpu_s.values()]

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            total = 0
            for pid in _tree(self._root) if self._root else ():
                try:
                    total += _pss_bytes(pid)
                    self._cpu_s[pid] = _cpu_s(pid)
                except OSError:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)
            work = sum(_size(file) for file in self._directory.glob(f"{WORK_PREFIX}*/*"))
            self.peak_work_bytes = max(self.peak_work_bytes, work)


def _tree(root: int | str) -> Iterator[str]:
    yield str(root)
    try:
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _tree(child)


def _pss_bytes(pid: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu_s(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def write_log(directory: Path, base: list[Event], events: int, form: str) -> Path:
    """Write a log of so many events; the copies of a lead differ in its ids and its times."""
    path = directory / f"log.{form}"
    if form == "avro":
        schema = [load_schema("touchpoint"), load_schema("crm_event")]
        with path.open("wb") as file:
            fastavro.writer(file, fastavro.parse_schema(schema), _records(base, events), "deflate")
        return path
    texts = [
        [event_to_json_line(_later(event, shift)) + "\n" for event in base]
        for shift in range(SHIFTS)
    ]
    with path.open("w", encoding="utf-8") as file:
        for copy, count in _copies(len(base), events):
            text = "".join(texts[copy % SHIFTS][:count])
            file.write(text.replace("lead-7-", f"lead-{copy}-").replace("browser-7-", f"b-{copy}-"))
    return path


def _copies(size: int, events: int) -> Iterator[tuple[int, int]]:
    """Give the number of each copy, and how many of its events the log takes."""
    for copy, start in enumerate(range(0, events, size)):
        yield copy, min(size, events - start)


def _records(base: list[Event], events: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for copy, count in _copies(len(base), events):
        for event in base[:count]:
            plain = msgspec.structs.asdict(_later(event, copy % SHIFTS))
            for name in ("lead_id", "anonymous_id"):
                if plain.get(name):
                    plain[name] = plain[name].replace("-7-", f"-{copy}-")
            yield f"leadstream.{type(event).__name__}", plain


def _later(event: Event, shift: int) -> Event:
    by_ms = shift * HISTORY_DAYS // SHIFTS * MS_PER_DAY
    times = {name: getattr(event, name, None) for name in _TIMES}
    moved = {name: at + by_ms for name, at in times.items() if at is not None}
    return msgspec.structs.replace(event, **moved)


if __name__ == "__main__":
    main()
