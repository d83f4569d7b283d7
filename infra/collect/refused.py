"""Why a request is not taken, in the words and with the status that its sender gets."""

from __future__ import annotations

import math


class RefusedError(Exception):
    """A request of which nothing was kept; the message names the mend.

    Args:
        code: a word for programs.
        retry_after_s: the same request may be taken after so long.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = None if retry_after_s is None else max(1, math.ceil(retry_after_s))


def too_large(what: str, most: int, mend: str) -> RefusedError:
    """Return the refusal of something larger than `most` bytes."""
    return RefusedError(413, "too_large", f"{what} has at most {most:,} bytes: {mend}")


def not_readable(message: str) -> RefusedError:
    """Return the refusal of a body that is not what it must be."""
    return RefusedError(400, "bad_request", message)


def bad_signature(message: str) -> RefusedError:
    """Return the refusal of a request that nobody we know has signed."""
    return RefusedError(401, "bad_signature", message)
