"""Faults that the domain can name."""

from __future__ import annotations


class ModelError(Exception):
    """A model that cannot be used; each fault names file, line, place and mend."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
