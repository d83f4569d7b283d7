"""A process that keeps what it has freed need not ask the system for it again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from leadstream.infra.ops.memory import keep_freed_memory

BLOCK = 6 * 1024 * 1024

def faults_of(turns):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(turns):
        blocks = [bytearray(b"x") * BLOCK for _ in range(5)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

is_kept = sys.argv[1] == "kept" and keep_freed_memory()
faults_of(2)
print(is_kept, faults_of(10) * resource.getpagesize() / (10 * 5 * BLOCK))
"""


def share_of_pages_that_come_anew(how: str) -> tuple[bool, float]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    is_kept, share = done.stdout.split()
    return is_kept == "True", float(share)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_what_a_turn_frees_the_next_one_has() -> None:
    is_kept, share = share_of_pages_that_come_anew("kept")
    assert is_kept
    assert share < 0.1
    # Else the test would show nothing.
    assert share_of_pages_that_come_anew("given back")[1] > 0.1
