"""Segment's own Python library sends to a collector that is killed again and again: what is lost?

Apache Kafka of its own; the collector gets SIGKILL while the client's queue is full, and is started
again. Exit code 1 where an event is lost, or one arrives that nobody sent.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from _lab import arguments, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from collecting import Collecting
from segment_client import send_through_kills

from leadstream.infra.kafka.local import LocalKafka


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=100_000, help="how many the client sends")
    parser.add_argument("--kills", type=int, default=3, help="how often the collector is killed")
    chosen = parser.parse_args()

    def note(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    with tempfile.TemporaryDirectory(prefix="leadstream-collect-") as name:
        directory = Path(name)
        with (
            LocalKafka(directory / "kafka", jvm_options=()) as kafka,
            Collecting(kafka.bootstrap, "kills.", directory) as collecting,
        ):
            outcome = send_through_kills(collecting, chosen.events, chosen.kills, note)
    report("collect_kills", asdict(outcome), as_json=chosen.json)
    return 1 if outcome.lost or outcome.strange or outcome.dropped else 0


if __name__ == "__main__":
    sys.exit(main())
