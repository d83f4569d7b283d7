"""Olist's real funnel, where it lies beside the checkout, counted with the csv module alone."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import datetime
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT.parent / "shared" / "data" / "olist"
MQLS = DIRECTORY / "olist_marketing_qualified_leads_dataset.csv"
DEALS = DIRECTORY / "olist_closed_deals_dataset.csv"
MAPPINGS = ROOT / "infra" / "mappings"
MQLS_MAPPING = MAPPINGS / "olist_mqls.yaml"
DEALS_MAPPING = MAPPINGS / "olist_deals.yaml"

needs_olist = pytest.mark.skipif(
    not MQLS.is_file(), reason="Olist's files are not at ../shared/data/olist"
)


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def counts_by_channel() -> dict[str, tuple[int, int]]:
    """Return (MQLs, won) of each origin; the empty origin is `(none)`."""
    origin_of = {row["mql_id"]: row["origin"] or "(none)" for row in rows(MQLS)}
    mqls = Counter(origin_of.values())
    won = Counter(origin_of[row["mql_id"]] for row in rows(DEALS))
    return {origin: (mqls[origin], won[origin]) for origin in mqls}


def wins_by_rep() -> dict[str, int]:
    """Return the deals won by each sales rep."""
    return dict(Counter(row["sr_id"] for row in rows(DEALS)))


def median_days_to_won() -> float:
    """Return the median of days from first contact to won over all deals."""
    contact = {row["mql_id"]: row["first_contact_date"] for row in rows(MQLS)}
    days = [
        (
            datetime.fromisoformat(row["won_date"]) - datetime.fromisoformat(contact[row["mql_id"]])
        ).total_seconds()
        / 86400
        for row in rows(DEALS)
    ]
    return median(days)
