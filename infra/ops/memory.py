"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""As glibc's malloc.h numbers them."""
FREE_BYTES_KEPT: Final = 256 * 1024 * 1024
LARGEST_KEPT_BYTES: Final = 32 * 1024 * 1024
"""The most that glibc takes; larger blocks are always of their own."""


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next turn; False where it cannot be told so.

    Each turn builds requests of megabytes, which else are given back to the system and come anew,
    a fault for each page. The process stays as large as it was at most, up to those bytes more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = mallopt(M_TRIM_THRESHOLD, FREE_BYTES_KEPT), mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
    return all(kept)
