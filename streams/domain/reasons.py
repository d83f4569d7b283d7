"""Why a lead was turned down: the default taxonomy, each reason with its kind and cooldown."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from leadstream.streams.domain.durations import DurationS, parse_duration_s


class ReasonKind(StrEnum):
    """What a reason says about the lead, and so what happens next."""

    TIMING = "timing"
    FIT = "fit"
    PERMANENT = "permanent"
    PROCEDURAL = "procedural"


class Reason(BaseModel):
    """One reason; without a cooldown the lead never qualifies again by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ReasonKind
    cooldown: DurationS | None = Field(
        None, description="How long the lead rests before its score may qualify it again."
    )


def _reason(kind: ReasonKind, cooldown: str | None) -> Reason:
    return Reason(kind=kind, cooldown=None if cooldown is None else parse_duration_s(cooldown))


OPTED_OUT: Final = "legal_optout"
"""Also stands on a handoff that is not routed, since the lead may not be contacted."""
DEFAULT_REASONS: Final = {
    "no_budget": _reason(ReasonKind.TIMING, "90d"),
    "not_ready": _reason(ReasonKind.TIMING, "60d"),
    "no_authority": _reason(ReasonKind.TIMING, "60d"),
    "no_response": _reason(ReasonKind.TIMING, "30d"),
    "too_small": _reason(ReasonKind.FIT, "365d"),
    "wrong_industry": _reason(ReasonKind.FIT, "365d"),
    "wrong_geo": _reason(ReasonKind.FIT, "365d"),
    "wrong_role": _reason(ReasonKind.FIT, "365d"),
    "no_need": _reason(ReasonKind.FIT, "365d"),
    "has_solution": _reason(ReasonKind.FIT, "180d"),
    "competitor": _reason(ReasonKind.PERMANENT, "5y"),
    "student_or_jobseeker": _reason(ReasonKind.PERMANENT, None),
    "spam": _reason(ReasonKind.PERMANENT, None),
    OPTED_OUT: _reason(ReasonKind.PERMANENT, None),
    "duplicate": _reason(ReasonKind.PROCEDURAL, "0s"),
    "wrong_territory": _reason(ReasonKind.PROCEDURAL, "0s"),
    "missing_data": _reason(ReasonKind.PROCEDURAL, "0s"),
    "existing_opportunity": _reason(ReasonKind.PROCEDURAL, "0s"),
    "existing_customer": _reason(ReasonKind.PROCEDURAL, "0s"),
}


def slug(wording: str) -> str:
    """Return a wording as the taxonomy writes it: lower case, underscores."""
    return "_".join(wording.lower().replace("-", " ").replace("_", " ").split())
