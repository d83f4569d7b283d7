"""Accounts as the model file writes them: which leads belong together, and what is told of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from leadstream.streams.domain.model_part import Part, Types


def _as_domains(value: Any) -> Any:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        return value
    return [str(name).strip().lower().lstrip("@").strip(".") for name in listed]


Domains = Annotated[list[str], BeforeValidator(_as_domains)]


class AccountRules(Part):
    """How leads form accounts; a model without this section knows none."""

    attribute: str = Field(
        "account_id", description="Attribute by which the CRM names the account of its lead."
    )
    free_mail: Domains = Field(
        default=[], description="Domains of mail that make no account, beside the known ones."
    )
    companies: Domains = Field(
        default=[], description="Domains that make an account, though they are known as free mail."
    )
    buying_group: Types = Field(
        default=[], description="Personas that an account needs among its engaged people."
    )
    score_step: float = Field(
        10.0, gt=0, description="By how much a lead's score moves before its account is told."
    )
