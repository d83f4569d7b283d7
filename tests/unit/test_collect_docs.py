"""The pages about the collector say every key, and their examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from vendor_payloads import SOURCES, payload

from leadstream.infra.collect.sources import (
    HubspotSource,
    SegmentSource,
    Signature,
    Source,
    WebhookSource,
)
from leadstream.infra.collect.sources_file import load_sources
from leadstream.schemas.codec import parse_time
from leadstream.schemas.json_form import to_json_object
from leadstream.streams.collect.hubspot import HubspotNotifications
from leadstream.streams.collect.hubspot_rules import PropertyRule, property_rules
from leadstream.streams.collect.segment import SegmentMessages
from leadstream.streams.collect.segment_names import event_names

DOCS = Path(__file__).parents[2] / "infra/docs"
COLLECT = (DOCS / "collect.md").read_text("utf-8")
SEGMENT = (DOCS / "sources/segment.md").read_text("utf-8")
HUBSPOT = (DOCS / "sources/hubspot.md").read_text("utf-8")
VENDORS = ("segment", "hubspot", "typeform")
WEBHOOKS = (DOCS / "sources/webhooks.md").read_text("utf-8")
SECTIONS: dict[type[BaseModel], str] = {
    Source: "### Every source",
    SegmentSource: "### `segment`",
    HubspotSource: "### `hubspot`",
    WebhookSource: "### `webhook`",
    Signature: "### `signature`",
}


def section(page: str, heading: str) -> str:
    return re.split(r"\n##+ ", page.split(f"\n{heading}\n")[1])[0]


def keys_in(text: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_every_key_is_documented_and_no_other(model: type[BaseModel]) -> None:
    own = [name for name in model.model_fields if name != "kind"]
    if model is Source:
        own.append("kind")
    elif issubclass(model, Source):
        own = [name for name in own if name not in Source.model_fields]
    assert keys_in(section(COLLECT, SECTIONS[model])) == own


def test_the_rules_of_properties_are_documented() -> None:
    assert keys_in(section(HUBSPOT, "## Rules for properties")) == list(PropertyRule.model_fields)


def test_the_example_of_sources_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBSITE_WRITE_KEY", "OLD_HUBSPOT_SECRET", "TYPEFORM_SECRET"):
        monkeypatch.setenv(name, "long-enough-a-secret")
    (tmp_path / "hubspot").write_text("long-enough-another")
    (tmp_path / "events.yaml").write_text(blocks(SEGMENT, "yaml")[0])
    (tmp_path / "typeform.yaml").write_text(blocks(WEBHOOKS, "yaml")[0])
    (text,) = blocks(COLLECT, "yaml")
    path = tmp_path / "sources.yaml"
    path.write_text(text.replace("/run/secrets/", f"{tmp_path}/"))
    loaded = load_sources(path)
    assert (len(loaded.segment), len(loaded.hubspot), len(loaded.webhook)) == (1, 1, 1)


def test_the_example_of_rules_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(blocks(HUBSPOT, "yaml")[0])
    assert property_rules(path)["sales_owner"].into == "owner"


def test_the_mapping_of_typeform_is_that_of_the_tests() -> None:
    mapping = (SOURCES / "typeform" / "mapping.yaml").read_text("utf-8")
    assert mapping.partition("\n")[2] == blocks(WEBHOOKS, "yaml")[0]


def test_segments_example_is_the_documented_payload_and_becomes_what_is_told() -> None:
    sent, made = (json.loads(block) for block in blocks(SEGMENT, "json"))
    documented = payload("segment", "page")
    assert {key: documented[key] for key in sent} == sent
    messages = SegmentMessages("website", event_names(), "{userId}")
    found = messages.touchpoint_of(documented, sent_at=None, received_at=parse_time(0))
    shown = to_json_object("touchpoint", found)
    del shown["received_at"]
    assert shown == made


def test_hubspots_example_is_the_documented_payload_and_becomes_what_is_told() -> None:
    sent, made = blocks(HUBSPOT, "json")
    assert json.loads(sent) == payload("hubspot", "contact-changed-and-created")
    notifications = HubspotNotifications(property_rules(), "hubspot-{objectId}")
    shown: list[dict[str, Any]] = []
    for told in json.loads(sent):
        for event in notifications.events_of(told, 0):
            one = to_json_object("crm_event", event)
            del one["event_id"]
            shown.append({key: value for key, value in one.items() if value})
    assert shown == [json.loads(line) for line in made.splitlines()]


def test_every_payload_has_a_readme_that_names_its_page() -> None:
    for path in (p for vendor in VENDORS for p in (SOURCES / vendor).glob("*.json")):
        assert path.name in (path.parent / "README.md").read_text("utf-8"), path
