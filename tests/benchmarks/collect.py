"""The collector's requests/s and latency under wrk, a public load tool: single calls and batches.

Apache Kafka of its own; every answer waits for its acknowledgement (acks=all). wrk is closed-loop:
each connection sends its next request when it has the answer to the one before. Broker, collector
and wrk share the machine. Afterwards Kafka must hold all that was answered with 200.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from _lab import arguments, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from collecting import WRITE_KEY, Collecting

from leadstream.infra.kafka.local import LocalKafka
from leadstream.schemas.topics import TOUCHPOINTS

SCRIPT: Final = Path(__file__).with_suffix(".lua")
THREADS: Final = 1
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
LOADS: Final = ((1, 1), (1, 16), (1, 64), (100, 1), (100, 8))
"""Events a request, and connections."""


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is missing (Debian: apt-get install wrk)\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="leadstream-collect-") as name:
        directory = Path(name)
        with (
            LocalKafka(directory / "kafka", jvm_options=()) as kafka,
            Collecting(kafka.bootstrap, "bench.", directory) as collecting,
        ):
            _load(collecting, 100, 4, 3)  # the broker's code is compiled by its use
            loads = [_load(collecting, size, n, chosen.seconds) for size, n in LOADS]
            taken = sum(
                count
                for name, count in collecting.metrics().items()
                if name[0] == "leadstream_collect_events_total"
            )
            kept = len(collecting.records(TOUCHPOINTS))
    missing = int(taken) - kept
    report(
        "collect",
        {"seconds": chosen.seconds, "taken": int(taken), "missing": missing, "loads": loads},
        as_json=chosen.json,
    )
    return 1 if missing > 0 else 0


def _load(collecting: Collecting, size: int, connections: int, seconds: int) -> dict[str, Any]:
    """Put one load on the collector and return its figures."""
    cpu_s = _cpu_s(collecting)
    printed = subprocess.run(
        [
            "wrk", "--threads", str(THREADS), "--connections", str(connections),
            "--duration", f"{seconds}s", "--timeout", "10s", "--script", str(SCRIPT),
            collecting.url, "--", str(size), WRITE_KEY,
        ],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cpu_s = _cpu_s(collecting) - cpu_s
    (line,) = (line for line in printed.splitlines() if line.startswith("RESULT "))
    told = json.loads(line.removeprefix("RESULT "))
    requests_per_s = told["requests"] / (told["duration_us"] / 1e6)
    return {
        "events_a_request": size,
        "connections": connections,
        "requests_per_s": round(requests_per_s, 1),
        "events_per_s": round(requests_per_s * size),
        **{
            f"{name}_ms": round(told[f"{name}_us"] / 1000, 1)
            for name in ("p50", "p90", "p99", "max")
        },
        "failed": told["failed"],
        "cpu_us_an_event": round(cpu_s * 1e6 / max(1, told["requests"] * size), 1),
    }


def _cpu_s(collecting: Collecting) -> float:
    """Return the processor time of the collector so far."""
    assert collecting.child is not None
    told = Path(f"/proc/{collecting.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / TICKS_A_SECOND


if __name__ == "__main__":
    sys.exit(main())
