"""Everything that reads bytes of others, each as a function of bytes that must not fail.

A target lets pass what the reader's docstring names as its errors, and nothing else; what is
read must be usable. `tests/property` mutates the seeds with hypothesis and with atheris.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import fuzz_files
import fuzz_sink
import fuzz_stages

from leadstream.schemas.events import LATEST_MS


@dataclass(frozen=True)
class Target:
    """A reader of bytes, and bytes that it reads."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


TARGETS: dict[str, Target] = {
    "decode": Target(fuzz_stages.decode, fuzz_stages.decode_seeds),
    "json_line": Target(fuzz_stages.json_line, fuzz_stages.json_line_seeds),
    "identify": Target(fuzz_stages.identify, fuzz_stages.identify_seeds),
    "lifecycle": Target(fuzz_stages.lifecycle, fuzz_stages.lifecycle_seeds),
    "store": Target(fuzz_stages.store, fuzz_stages.store_seeds),
    "meta": Target(fuzz_stages.meta, fuzz_stages.meta_seeds),
    "csv_file": Target(fuzz_files.csv_file, fuzz_files.csv_seeds),
    "jsonl_file": Target(fuzz_files.jsonl_file, fuzz_files.jsonl_seeds),
    "avro_file": Target(fuzz_files.avro_file, fuzz_files.avro_seeds),
    "mapping_file": Target(fuzz_files.mapping_file, fuzz_files.mapping_seeds),
    "model_file": Target(fuzz_files.model_file, fuzz_files.model_seeds),
    "settings_file": Target(fuzz_files.settings_file, fuzz_files.settings_seeds),
    "topics_file": Target(fuzz_files.topics_file, fuzz_files.topics_seeds),
    "batch": Target(fuzz_sink.batch, fuzz_sink.batch_seeds),
}

INTERESTING = (
    b"\xff" * 9 + b"\x01",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    struct.pack("<d", float("nan")),
    struct.pack("<d", float("inf")),
    struct.pack("<d", -1e308),
    b"\xed\xa0\x80",
    b"\x00",
    b"\xff\xff",
    b'"\\ud800"',
    b"NaN",
    b"-Infinity",
    b"1e999999999",
    b"-1e-999999999",
    b"9" * 5000,
    b"-" + b"9" * 30,
    b"18446744073709551616",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"&a [*a]",
    b"&a {x: *a}",
    b"!!binary x",
    b"!!float x",
    b"!!timestamp 2026-13-45",
    b"2026-02-30",
    b"9999-12-31T23:59:59.999999-23:59",
    b"0001-01-01T00:00:00+23:59",
    b"<<: *a",
    b"? [a]\n: b",
    b"1:2:3",
    b"0x1F",
    b".inf",
    b"1_0",
    "²".encode(),
    "\u2028".encode(),
    str(LATEST_MS + 1).encode(),
)
