"""How much is taken: events a second of one key, and bytes of all requests under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiolimiter import AsyncLimiter

from leadstream.infra.collect.refused import RefusedError
from leadstream.schemas import metrics

BUSY_RETRY_S: Final = 1.0


class Rate:
    """Events a second of one key: a leaky bucket of `burst`, which drains at `rate`."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._limiter = AsyncLimiter(burst, burst / rate)

    async def admit(self, events: int) -> None:
        """Let so many events pass, or none of them.

        Raises:
            RefusedError: too many, with when to come again.
        """
        # A batch beyond the whole bucket passes once that is empty, or it never could.
        amount = min(float(events), self._limiter.max_rate)
        if not self._limiter.has_capacity(amount):
            raise RefusedError(
                429,
                "too_many_events",
                f"more than {self._rate:g} events a second: send the same again later, or raise "
                "`rate` of the source",
                retry_after_s=amount / self._rate,
            )
        await self._limiter.acquire(amount)


class PendingBytes:
    """Bounds the memory of requests that are read and not yet answered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold so many bytes while a request is under way.

        Raises:
            RefusedError: too much is under way.
        """
        if self._held and self._held + size > self._most:
            raise RefusedError(
                503,
                "busy",
                "too much is under way: send the same again later",
                retry_after_s=BUSY_RETRY_S,
            )
        self._held += size
        metrics.collect_pending(self._held)
        try:
            yield
        finally:
            self._held -= size
            metrics.collect_pending(self._held)
