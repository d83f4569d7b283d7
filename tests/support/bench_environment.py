"""The environment that has the extra `bench`: the benchmarks' peers, and what draws pictures.

Quix Streams takes an older Kafka client than the tests do, so it is not the tests' own.
`infra/check.sh` makes it, and names its interpreter in LEADSTREAM_TEST_BENCH.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import pytest

PEERS = ("quixstreams",) if sys.version_info >= (3, 13) else ("bytewax", "quixstreams")
"""Bytewax has no wheels for Python 3.13."""


def bench_python() -> str:
    """Return its interpreter; skip the test where there is none."""
    if given := os.environ.get("LEADSTREAM_TEST_BENCH"):
        return given
    if not all(map(find_spec, (*PEERS, "matplotlib"))):
        pytest.skip("LEADSTREAM_TEST_BENCH names no interpreter with the extra `bench`")
    return sys.executable
