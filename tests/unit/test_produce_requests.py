"""A produce request is the same bytes, however often its parts are copied."""

from __future__ import annotations

import pytest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.struct import Struct

from leadstream.streams.engine import transactional  # noqa: F401  it sets them
from leadstream.streams.engine.produce_requests import encoded

TOPICS = {
    "none": [],
    "one": [("lead.events", [(0, b"records")])],
    "several": [
        ("lead.events", [(0, b"a" * 70_000), (3, b"")]),
        ("lead.state", []),
        ("größe", [(1, bytes(range(256)))]),
    ],
    "without_records": [("lead.events", [(2, None)])],
}
TRANSACTIONAL = 3
"""The first version with transactions."""
VERSIONS = {f"v{version.API_VERSION}": version for version in ProduceRequest._CLASSES}


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("topics", TOPICS.values(), ids=TOPICS)
def test_a_request_is_the_bytes_that_the_client_makes(
    version: type[Struct], topics: list[object]
) -> None:
    ids = (None, "worker-1") if version.API_VERSION >= TRANSACTIONAL else (None,)
    for transactional_id in ids:
        built = ProduceRequest(transactional_id, -1, 30_000, topics).build(version)
        assert encoded(built) == Struct.encode(built)


def test_the_producers_of_the_engine_write_their_requests_so() -> None:
    assert all(version.encode is encoded for version in VERSIONS.values())
