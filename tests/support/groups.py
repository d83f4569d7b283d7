"""Who is in a consumer group, as the broker tells."""

from __future__ import annotations

import time

from kafka import KafkaAdminClient
from kafka.errors import KafkaError


def await_members(bootstrap: str, group: str, count: int, timeout_s: float = 90) -> list[set[int]]:
    """Wait for a settled group of so many members; return the partitions of each.

    Raises:
        AssertionError: it does not come to that in time.
    """
    deadline = time.monotonic() + timeout_s
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    found = None
    try:
        while time.monotonic() < deadline:
            try:
                found = admin.describe_groups([group])[group]
            except KafkaError as error:
                if not error.retriable:
                    raise
            else:
                if found["group_state"] == "Stable" and len(found["members"]) == count:
                    return [_partitions(member) for member in found["members"]]
            time.sleep(0.1)
    finally:
        admin.close()
    raise AssertionError(f"{group} has not {count} members in {timeout_s} s: {found}")


def _partitions(member: dict[str, object]) -> set[int]:
    assignment = member["member_assignment"]
    assert isinstance(assignment, dict), member
    return {p for topic in assignment["assigned_partitions"] for p in topic["partitions"]}
