"""States of leads as a test wants them."""

from __future__ import annotations

from typing import Any

from leadstream.streams.domain.state import FoldState


def state_with(**fields: Any) -> FoldState:
    """Return the state of lead `l` that differs from a new one by these fields."""
    state = FoldState("l")
    for name, value in fields.items():
        setattr(state, name, value)
    return state
