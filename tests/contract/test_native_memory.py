"""What the compiled codec remembers of what it reads, and what memory it takes and gives back."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest
from codec_pairs import HEADER_BYTES, HUGE, PAIRS, TEXT_OF_4, needs_native
from schema_examples import FILES, encoded_example

from leadstream.schemas.events import Touchpoint


@needs_native
def test_values_that_repeat_and_values_that_do_not_are_read_as_they_are() -> None:
    """Past the point where a field's memo is given up, and with collisions before it."""
    pair = PAIRS["touchpoint"]
    for number in range(3000):
        value = Touchpoint(
            event_id=f"e{number}",
            event_time=number,
            type=f"t{number % 7}",
            channel=("é" if number % 2 else "e") * (number % 40),
            properties={f"k{number % 300}": f"v{number // 10}"},
        )
        assert pair.reader.read(pair.writer.write(value)) == value


@needs_native
def test_reading_and_writing_keeps_no_memory() -> None:
    pair = PAIRS["lead_event"]
    good = [e for path in FILES for n, e in [encoded_example(path)] if n == "lead_event"]
    bad = [value[:cut] for value in good for cut in range(HEADER_BYTES, len(value))]

    def work() -> None:
        for value in good:
            pair.writer.write(pair.reader.read(value))
        for value in bad:
            assert pair.reader.read(value) is None
            pair.writer.write(value)

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    work()
    before = blocks()
    for _ in range(50):
        work()
    assert blocks() - before < len(bad)


@needs_native
@pytest.mark.parametrize(
    "start", [b"", TEXT_OF_4 + b"\x02" + b"\x00" * 5 + TEXT_OF_4 + b"\x00" * 11]
)
def test_a_length_that_lies_takes_no_memory(start: bytes) -> None:
    pair = PAIRS["touchpoint"]
    tracemalloc.start()
    try:
        assert pair.reader.read(pair.header + start + HUGE + b"\x02a") is None
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


@needs_native
def test_a_struct_that_holds_no_container_is_none_of_the_collectors_business() -> None:
    """As msgspec has it; with containers of its own it is."""
    name, encoded = next(e for e in map(encoded_example, FILES) if e[0] == "lead_state")
    state = PAIRS[name].reader.read(encoded)
    assert gc.is_tracked(state) and not gc.is_tracked(state.score)
    touch = PAIRS["touchpoint"].encoders[1].encode(Touchpoint(event_id="", event_time=0, type=""))
    assert not gc.is_tracked(PAIRS["touchpoint"].reader.read(touch))
