"""What a mapping file may say, as frozen models: each field's description is its documentation.

Scalars arrive as the text that stands in the file (see `mapping_file`), so `equals: 007` is "007".
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["touchpoint", "crm"]

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|([{}])")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Part):
    """One test of one column; exactly one of the tests is given."""

    column: str | None = Field(None, description="Column that is tested.")
    equals: str | None = Field(None, description="The cell is exactly this text.")
    not_equals: str | None = Field(None, description="The cell is not this text.")
    in_: tuple[str, ...] | None = Field(
        None, alias="in", description="The cell is one of these texts."
    )
    not_in: tuple[str, ...] | None = Field(
        None, description="The cell is none of these texts; an empty cell is none of them."
    )
    starts_with: str | None = Field(None, description="The cell begins with this text.")
    empty: bool | None = Field(
        None, description="true: the cell is empty (a null value); false: it is not."
    )
    changed: bool | None = Field(
        None, description="true: the change gave the column another value; false: it did not."
    )
    changed_from: tuple[str | None, ...] | None = Field(
        None, description="The column changed, and was one of these texts; null: it was empty."
    )
    changed_to: tuple[str | None, ...] | None = Field(
        None, description="The column changed, and is now one of these texts; null: it is empty."
    )

    any_changed: tuple[str, ...] | None = Field(
        None, description="The change gave any of these columns another value; without `column`."
    )

    @model_validator(mode="before")
    @classmethod
    def _single_values(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        single = {
            key: [value[key]]
            for key in ("changed_from", "changed_to")
            if key in value and not isinstance(value[key], list)
        }
        return {**value, **single}

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        tests = (self.equals, self.not_equals, self.in_, self.not_in, self.starts_with)
        moved = self.changed_from is not None or self.changed_to is not None
        flags = (self.empty, self.changed, self.any_changed)
        others = (*(flag is not None for flag in flags), moved)
        if sum(test is not None for test in tests) + sum(others) != 1:
            raise ValueError(
                "give exactly one of equals, not_equals, in, not_in, starts_with, empty, changed, "
                "changed_from (with or without changed_to), any_changed"
            )
        if (self.column is None) != (self.any_changed is not None):
            raise ValueError("give the column that is tested, and none with any_changed")
        return self

    @property
    def asks_for_change(self) -> bool:
        """Whether only a feed of changes can answer it."""
        tests = (self.changed, self.changed_from, self.changed_to, self.any_changed)
        return any(test is not None for test in tests)


class FieldMapping(_Part):
    """Where one field's value comes from; a bare text in place of it is the column's name."""

    column: str | None = Field(None, description="Take the cell of this column.")
    const: str | None = Field(None, description="Take this text for every row.")
    template: str | None = Field(
        None, description="Fill {column} places; empty only where all of its columns are."
    )
    map: dict[str, str | None] | None = Field(
        None, description="Replace these values; null makes the value empty."
    )
    map_else: Literal["error", "keep", "null"] = Field(
        "error", description="What becomes of a value that `map` does not name."
    )
    default: str | None = Field(None, description="Value where the result is empty.")
    required: bool = Field(False, description="An empty result makes the row an error.")
    format: tuple[str, ...] = Field(
        (),
        description="How a time is written: iso (the default), epoch_s, epoch_ms, epoch_us, "
        "epoch_ns, epoch_days, or a strptime pattern; of several the first that fits. On a text "
        "field: the value is a time, kept as ISO 8601 in UTC.",
    )
    timezone: str | None = Field(
        None, description="IANA zone of a time written without an offset; default: the mapping's."
    )
    decimal: Literal[".", ","] = Field(
        ".", description="Decimal separator of `amount`; the other one may group thousands."
    )
    scale: int | None = Field(
        None,
        ge=0,
        le=38,
        description="`amount` is the base64 of an unscaled number with so many decimals, as Kafka "
        "Connect writes a Decimal.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value}
        if not isinstance(value, dict):
            return value
        told = dict(value)
        if isinstance(told.get("format"), str):
            told["format"] = [told["format"]]
        if "map_else" in told and told["map_else"] is None:
            told["map_else"] = "null"
        return told

    @model_validator(mode="after")
    def _one_source(self) -> FieldMapping:
        sources = (self.column, self.const, self.template)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("give exactly one of column, const, template")
        return self


class EventMapping(_Part):
    """One event that a row may give."""

    name: str | None = Field(
        None, description="Part of the event's id; default: its place in the list, from 0."
    )
    kind: Kind = Field(description="touchpoint or crm.")
    when: tuple[Condition, ...] = Field(
        (), description="The event is made only where all of these hold."
    )
    skip_when: tuple[Condition, ...] = Field(
        (), description="The event is not made where any of these holds."
    )
    id: tuple[str, ...] | str | None = Field(
        None,
        description="Columns that tell this event from all others of the file, hashed to a UUID; "
        "or a template, which is taken as it is. Default: the whole row.",
    )
    fields: dict[str, FieldMapping] = Field(description="Schema field to where it comes from.")
    properties: dict[str, FieldMapping] = Field(
        {}, description="A touchpoint's properties: name to where it comes from."
    )
    attributes: dict[str, FieldMapping] = Field(
        {}, description="A CRM event's attributes: name to where it comes from."
    )

    @model_validator(mode="before")
    @classmethod
    def _single_id_column(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("id"), str) and "{" not in value["id"]:
            return {**value, "id": [value["id"]]}
        return value


class CsvOptions(_Part):
    """How a CSV file is written."""

    delimiter: str = Field(
        ",", min_length=1, max_length=1, description="Between cells; a .tsv file's is a tab."
    )
    quote: str = Field('"', min_length=1, max_length=1, description="Around cells.")
    encoding: str = Field(
        "utf-8", description="Of the file, e.g. cp1252; a byte order mark is no harm."
    )


class RowMapping(_Part):
    """What the rows of one export mean."""

    name: str = Field(
        min_length=1, description="Part of every id made here: changing it makes new events."
    )
    format: Literal["csv", "jsonl", "avro", "changes"] | None = Field(
        None,
        description="Of the file; default: by its extension. changes: no file, but what "
        "`leadstream connect` reads of a topic.",
    )
    csv: CsvOptions | None = Field(None, description="How a CSV file is written.")
    null_values: tuple[str, ...] = Field(
        ("",), description="Texts that mean that there is no value."
    )
    trim: bool = Field(True, description="Take spaces off both ends of each cell.")
    timezone: str = Field(
        "UTC", description="IANA zone of times that are written without an offset."
    )
    optional_columns: tuple[str, ...] = Field(
        (), description="Columns that a file may lack; every other one named here must exist."
    )
    skip_when: tuple[Condition, ...] = Field(
        (), description="The row gives no event at all where any of these holds."
    )
    gap: FieldMapping | None = Field(
        None,
        description="The lead of a crm_gap event, which says that a change was not told; default: "
        "one of its own.",
    )
    events: tuple[EventMapping, ...] = Field(description="The events of each row, in this order.")

    def event_name(self, index: int) -> str:
        """Return the name of an event that its ids are made from."""
        return self.events[index].name or str(index)


def template_columns(template: str) -> list[str]:
    """Return the columns that a template names, in order.

    Raises:
        ValueError: a brace that is neither a {column} nor doubled.
    """
    columns = []
    for match in _PLACEHOLDER.finditer(template):
        if match[2]:
            raise ValueError(f"lone {match[2]} in template: write {{column}}, or double the brace")
        if match[1]:
            columns.append(match[1].strip())
    return columns


def fill_template(template: str, texts: dict[str, str | None]) -> str | None:
    """Return the template with its columns' texts; None where all of them are None."""
    if texts and all(text is None for text in texts.values()):
        return None

    def filled(match: re.Match[str]) -> str:
        return (texts[match[1].strip()] or "") if match[1] else match[0][0]

    return _PLACEHOLDER.sub(filled, template)
