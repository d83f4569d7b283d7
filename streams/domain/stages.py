"""The stages of a lead (contract) and their order."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where a lead stands; the values are contract."""

    ANONYMOUS = "anonymous"
    KNOWN = "known"
    ENGAGED = "engaged"
    MQL = "mql"
    SAL = "sal"
    SALES_QUALIFIED = "sql"
    OPPORTUNITY = "opportunity"
    CUSTOMER = "customer"
    NURTURE = "nurture"
    DISQUALIFIED = "disqualified"
    LOST = "lost"
    MERGED = "merged"


MAIN_LINE: Final = (
    Stage.ANONYMOUS,
    Stage.KNOWN,
    Stage.ENGAGED,
    Stage.MQL,
    Stage.SAL,
    Stage.SALES_QUALIFIED,
    Stage.OPPORTUNITY,
    Stage.CUSTOMER,
)

HANDED_OVER: Final = (Stage.MQL, Stage.SAL, Stage.SALES_QUALIFIED)

QUALIFIABLE: Final = (Stage.KNOWN, Stage.ENGAGED, Stage.NURTURE)

_RANK: Final = {stage: rank for rank, stage in enumerate(MAIN_LINE)}


def rank(stage: Stage) -> int:
    """Return the position on the main line; stages beside it rank as where the lead resumes.

    A lost lead had an opportunity; one in nurture or disqualified starts again from known.
    """
    if stage is Stage.LOST:
        return _RANK[Stage.SALES_QUALIFIED]
    return _RANK.get(stage, _RANK[Stage.KNOWN])


def skipped_between(origin: Stage, target: Stage) -> tuple[Stage, ...]:
    """Return the qualified stages, mql and later, that a jump from origin to target leaves out."""
    first = max(rank(origin) + 1, _RANK[Stage.MQL])
    return MAIN_LINE[first : _RANK[target]]
