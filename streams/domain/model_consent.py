"""Consent as the model file writes it: what must be allowed to score a lead, and to route it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from leadstream.streams.domain.model_part import Part, Types
from leadstream.streams.domain.reasons import slug

EVERYWHERE: Final = "everywhere"
NOWHERE_TOLD: Final = "unknown"
"""Stands for the leads whose country nobody told."""
_EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()
)
GROUPS: Final = {"EU": _EU, "EEA": _EU | {"IS", "LI", "NO"}}
ALIASES: Final = {"UK": "GB", "EL": "GR"}
"""Codes that people write, and the country's own of ISO 3166."""


def _as_purposes(value: Any) -> Any:
    listed = [value] if isinstance(value, str) else value
    return [slug(str(name)) for name in listed] if isinstance(listed, list) else value


Purposes = Annotated[list[str], BeforeValidator(_as_purposes)]
PurposesByType = dict[str, Purposes]


class ConsentNeeded(Part):
    """The purposes that one use of a lead's data needs, and where they must be granted first."""

    needs: Purposes = Field(default=[], description="Purposes; a denial of one of them stops.")
    opt_in: Types = Field(
        default=[],
        description="Countries where they must be granted, and silence is not enough.",
    )

    @field_validator("opt_in")
    @classmethod
    def _are_places(cls, places: list[str]) -> list[str]:
        for place in places:
            if place not in (EVERYWHERE, NOWHERE_TOLD) and not re.fullmatch(r"[A-Z]{2}|EEA", place):
                raise ValueError(
                    f'"{place}" is no country: write its ISO code, e.g. DE, or one of '
                    f"{', '.join((*GROUPS, NOWHERE_TOLD, EVERYWHERE))}"
                )
        return places

    def places(self) -> frozenset[str]:
        """Return the places where the purposes must be granted, groups as their countries."""
        found: set[str] = set()
        for place in self.opt_in:
            found |= GROUPS.get(place, {ALIASES.get(place, place)})
        return frozenset(found)


class ConsentRules(Part):
    """What a person's word stops; a model without this section hears it and stops nothing."""

    scoring: ConsentNeeded = ConsentNeeded()
    routing: ConsentNeeded = ConsentNeeded()
    scored_before: Literal["dropped", "kept"] = Field(
        "dropped", description="What becomes of engagement when scoring must stop."
    )
    denied_by: PurposesByType = Field(
        default={}, description="Event types that deny purposes, beside consent_changed."
    )
    granted_by: PurposesByType = Field(
        default={}, description="Event types by which the person grants purposes."
    )
    country: str = Field("country", description="Attribute that tells the lead's country.")
    country_wordings: dict[str, str] = Field(
        default={}, description="How forms and the CRM name countries, and the ISO codes meant."
    )
