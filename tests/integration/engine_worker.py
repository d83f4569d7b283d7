"""A worker process for the engine tests: counts records per key over two inputs.

Not a test itself; the tests start it, kill it, and read what it wrote.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence

from leadstream.infra.ops.worker import run_worker
from leadstream.schemas.logs import set_up_logging
from leadstream.schemas.settings import load_settings
from leadstream.streams.app import create_app
from leadstream.streams.engine.processor import BatchResult, DeadLetter, Output, Record


class CountingLogic:
    """Counts each key's records; says each new count, and once when the key has been quiet."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self.due: dict[bytes, int] = {}

    def restore(self, key: bytes, value: bytes | None) -> None:
        self.counts[key], due = json.loads(value or b"[0, null]")
        self.due.pop(key, None)
        if due is not None:
            self.due[key] = due

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        changed = set()
        for record in records:
            key = record.key or b""
            if record.value == b"poison":
                result.dead_letters.append(DeadLetter(record, "poison", "not to be swallowed"))
                continue
            if record.value == b"crash":
                raise ZeroDivisionError("a bug in the stage")
            self.counts[key] += 1
            if (record.value or b"").startswith(b"alarm"):
                self.due[key] = now_ms + int(record.value.split()[1])
            changed.add(key)
            text = json.dumps({"key": key.decode(), "count": self.counts[key]})
            result.outputs.append(Output("counted", key, text.encode()))
        for key in [key for key, due in self.due.items() if due <= now_ms]:
            changed.add(key)
            text = json.dumps({"key": key.decode(), "alarm": self.due.pop(key)})
            result.outputs.append(Output("counted", key, text.encode()))
        for key in changed:
            state = json.dumps([self.counts[key], self.due.get(key)])
            result.store[key] = state.encode()
        return result

    def next_due_ms(self) -> int | None:
        return min(self.due.values(), default=None)


class CountingStage:
    name = "count"
    inputs = ("left", "right")
    outputs = ("counted",)
    store = "count.store"

    def open(self, partition: int) -> CountingLogic:
        return CountingLogic()


if __name__ == "__main__":
    settings = load_settings(**json.loads(sys.argv[1]))
    set_up_logging(settings)
    run_worker(create_app(settings, [CountingStage()]), settings)
