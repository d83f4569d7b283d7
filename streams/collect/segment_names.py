"""From the names of Segment's track events to types of touchpoints."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadstream.schemas.events import TOUCHPOINT_TYPES
from leadstream.streams.ingest.located_yaml import pydantic_fault, read_yaml

SHIPPED: Final = "segment_events.yaml"
_RESERVED: Final = frozenset({"identify", "alias", "group"})
"""Types that say who somebody is: a track event of that name does not."""

NAMES_REMEMBERED: Final = 4096
_SEPARATORS: Final = re.compile(r"[\s_.:/-]+")


class SegmentEvents(BaseModel):
    """A file of event names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: dict[str, str] = Field(description="Name of a track event to type of touchpoint.")


class EventNames:
    """Looks types up; case, spaces, hyphens and underscores of a name make no difference."""

    def __init__(self, events: dict[str, str]) -> None:
        self._types = {name: name for name in TOUCHPOINT_TYPES - _RESERVED}
        self._types |= {_folded(name): kind for name, kind in events.items()}

    def type_of(self, name: str) -> str:
        """Return the type of a track event; a name that nobody knows is a type of its own."""
        folded = _folded(name)
        known = self._types.get(folded)
        if known is None and folded in _RESERVED:
            return f"track_{folded}"
        return known or name


def event_names(path: Path | None = None) -> EventNames:
    """Return the shipped names, and over them those of a file.

    Raises:
        MappingError: a line for each fault of the file.
    """
    own = {} if path is None else _read(path)
    return EventNames(_shipped() | {_folded(name): kind for name, kind in own.items()})


@cache
def _shipped() -> dict[str, str]:
    with resources.as_file(resources.files(__package__).joinpath(SHIPPED)) as path:
        return {_folded(name): kind for name, kind in _read(path).items()}


def _read(path: Path) -> dict[str, str]:
    yaml = read_yaml(path, "event names", "events:")
    try:
        return SegmentEvents.model_validate(yaml.plain).events
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise yaml.fault(pydantic_fault(f, lambda _: SegmentEvents) for f in found) from None


@lru_cache(NAMES_REMEMBERED)
def _folded(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().lower())
