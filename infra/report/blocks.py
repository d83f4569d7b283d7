"""What a section of the report is made of; texts are plain, and escaped where they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]
"""A chart in Vega-Lite."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and how its values are shown (see `words.cell`)."""

    title: str
    kind: str = "text"

    @property
    def is_number(self) -> bool:
        return self.kind not in ("text", "code", "month", "instant")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of raw values.

    Attributes:
        shaded: columns of shares whose cells are shaded by their value.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    shaded: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, what it shows in words, and the same figures as a table.

    Attributes:
        name: unique on the page; letters, digits and hyphens.
        alternative: what somebody who cannot see the chart is told.
        legend: what its colours mean.
    """

    name: str
    title: str
    alternative: str
    spec: Spec
    table: Table
    note: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report with one subject.

    Attributes:
        name: unique on the page; where links point to.
        says: the finding, in a sentence or two; all there is of a section without data.
        ask: the command that tells more.
    """

    name: str
    title: str
    says: str
    blocks: Sequence[Chart | Table | Note] = ()
    ask: str = ""
