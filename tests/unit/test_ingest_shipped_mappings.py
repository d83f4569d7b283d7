"""The mappings that are shipped, on the files that they are made for."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.ingest.mapping_file import load_mapping

ROOT = Path(__file__).parents[2]
MAPPINGS = ROOT / "infra" / "mappings"
GOLDEN = ROOT / "tests" / "golden"
OLIST = ROOT.parent / "shared" / "data" / "olist"
MQLS = OLIST / "olist_marketing_qualified_leads_dataset.csv"
DEALS = OLIST / "olist_closed_deals_dataset.csv"

needs_olist = pytest.mark.skipif(
    not OLIST.is_dir(), reason="Olist's files are not beside the checkout"
)


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.name)
def test_each_shipped_mapping_is_valid(path: Path) -> None:
    assert load_mapping(path).spec.name == path.stem


def test_the_example_gives_the_events_that_are_kept_beside_it() -> None:
    mapping = load_mapping(MAPPINGS / "example_crm_export.yaml")
    made = read_events(GOLDEN / "ingest_example_crm_export.csv", mapping)
    expected = (GOLDEN / "ingest_example_crm_export.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(event_to_json_line(event)) for event in made] == [
        json.loads(line) for line in expected
    ]


@pytest.mark.olist
@needs_olist
def test_each_olist_lead_is_a_contact_request_at_midnight_utc() -> None:
    with MQLS.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    made = list(read_events(MQLS, load_mapping(MAPPINGS / "olist_mqls.yaml")))
    assert len(made) == len({event.event_id for event in made}) == len(rows) == 8000
    assert {type(event) for event in made} == {Touchpoint}
    assert {event.type for event in made} == {"contact_sales_requested"}
    channels = Counter(event.channel for event in made if isinstance(event, Touchpoint))
    assert channels == Counter(row["origin"] or None for row in rows)
    assert (channels[None], channels["unknown"]) == (60, 1099)
    for event, row in zip(made, rows, strict=True):
        assert isinstance(event, Touchpoint)
        assert (event.lead_id, event.asset) == (row["mql_id"], row["landing_page_id"])
        day = datetime.fromtimestamp(event.event_time / 1000, UTC)
        assert day.isoformat() == row["first_contact_date"] + "T00:00:00+00:00"


@pytest.mark.olist
@needs_olist
def test_each_olist_deal_is_won_by_its_rep() -> None:
    with DEALS.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    made = [
        event
        for event in read_events(DEALS, load_mapping(MAPPINGS / "olist_deals.yaml"))
        if isinstance(event, CrmEvent)
    ]
    assert len(made) == len({event.event_id for event in made}) == len(rows) == 842
    assert {event.type for event in made} == {"opportunity_won"}
    wins = Counter(event.owner for event in made)
    assert wins == Counter(row["sr_id"] for row in rows)
    assert len(wins) == 22
    renamed = {
        "segment": "business_segment",
        "behaviour_profile": "lead_behaviour_profile",
        "product_catalog_size": "declared_product_catalog_size",
    }
    same = ("sdr_id", "lead_type", "business_type", "has_company", "has_gtin", "average_stock")
    renamed |= {name: name for name in (*same, "declared_monthly_revenue")}
    for event, row in zip(made, rows, strict=True):
        assert (event.lead_id, event.actor, event.amount) == (row["mql_id"], row["sr_id"], None)
        assert event.opportunity_id == row["seller_id"]
        assert event.attributes == {to: row[by] for to, by in renamed.items() if row[by]}
        at = datetime.fromtimestamp(event.event_time / 1000, UTC)
        assert f"{at:%Y-%m-%d %H:%M:%S}" == row["won_date"]
