"""What a changed property of a HubSpot contact means: which CRM event, with which fields."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadstream.streams.ingest.located_yaml import Place, pydantic_fault, read_yaml

SHIPPED: Final = "hubspot_properties.yaml"
LEAD_UPDATED: Final = "lead_updated"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ValueRule(_Part):
    """What one value means."""

    type: str = Field(description="Type of the CRM event.")
    reason: str | None = Field(None, description="Its reason, in the model's words or the CRM's.")


class PropertyRule(_Part):
    """What a change of one property means."""

    type: str = Field(LEAD_UPDATED, description="Type of the CRM event, whatever the value.")
    into: Literal["owner", "reason", "stage"] | None = Field(
        None, description="The field of the event that takes the value."
    )
    values: dict[str, ValueRule] = Field({}, description="What single values mean instead.")


class HubspotProperties(_Part):
    """A file of rules."""

    properties: dict[str, PropertyRule] = Field(description="HubSpot's internal name to a rule.")


Rules = dict[str, PropertyRule]


def property_rules(path: Path | None = None) -> Rules:
    """Return the shipped rules, and in place of them those that a file has.

    Raises:
        MappingError: a line for each fault of the file.
    """
    return _shipped() if path is None else _shipped() | _read(path)


@cache
def _shipped() -> Rules:
    with resources.as_file(resources.files(__package__).joinpath(SHIPPED)) as path:
        return _read(path)


def _read(path: Path) -> Rules:
    yaml = read_yaml(path, "property rules", "properties:")
    try:
        return HubspotProperties.model_validate(yaml.plain).properties
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise yaml.fault(pydantic_fault(fault, _model_at) for fault in found) from None


def _model_at(place: Place) -> type[BaseModel]:
    if not place:
        return HubspotProperties
    return ValueRule if "values" in place[2:] else PropertyRule
