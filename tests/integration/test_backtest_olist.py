"""Olist's real funnel under the shipped model and a narrower one, against the files alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import olist
import pytest
from backtests import (
    expected_changes,
    expected_of_model,
    load_of_weekdays,
    said_changes,
    said_of_model,
)
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.models import default_model_path

pytestmark = [pytest.mark.olist, olist.needs_olist]

CHANNELS = ("organic search", "paid search", "")


def narrowed() -> str:
    """Return the shipped model with hand-raises of some channels only."""
    text = default_model_path().read_text("utf-8")
    condition = """when: 'attr("competitor") != "true"'"""
    assert text.count(condition) == 1
    return text.replace(
        condition, """when: 'event.channel in ["organic search", "paid search", ""]'"""
    ).replace('version: "2026-01"', 'version: "narrow"')


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = tmp_path_factory.mktemp("olist")
    sources = ((olist.MQLS, olist.MQLS_MAPPING), (olist.DEALS, olist.DEALS_MAPPING))
    log, candidate = directory / "olist.jsonl", directory / "narrow.yaml"
    with log.open("w", encoding="utf-8") as out:
        for file, mapping in sources:
            for event in read_events(file, load_mapping(mapping)):
                out.write(event_to_json_line(event) + "\n")
    candidate.write_text(narrowed(), "utf-8")
    arguments = ["model", "backtest", candidate, "--events", log, "--format", "json"]
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def contacts() -> dict[str, tuple[datetime, str]]:
    return {
        row["mql_id"]: (instant(row["first_contact_date"]), row["origin"])
        for row in olist.rows(olist.MQLS)
    }


def wins() -> dict[str, datetime]:
    return {row["mql_id"]: instant(row["won_date"]) for row in olist.rows(olist.DEALS)}


def mqls_from(channels: tuple[str, ...] | None) -> dict[str, tuple[datetime, str]]:
    """Return who asked for contact through the channels before anything was won from it.

    All are of grade D: nobody's attributes are known then, and 0 points are enough for D.
    """
    won = wins()
    return {
        lead: (asked_at, "D")
        for lead, (asked_at, origin) in contacts().items()
        if (channels is None or origin in channels) and not (lead in won and won[lead] < asked_at)
    }


@pytest.mark.parametrize(("side", "channels"), [("against", None), ("candidate", CHANNELS)])
def test_each_models_figures_are_those_of_the_files(
    said: dict[str, Any], side: str, channels: tuple[str, ...] | None
) -> None:
    mqls, won = mqls_from(channels), wins()
    # The files know of no other fact than a deal won, which is an SQL's as well.
    assert said_of_model(said[side]) == expected_of_model(mqls, {"sql": won, "won": won})
    assert said[side]["mql_leads"] == said[side]["handoffs"] == len(mqls)


def test_the_leads_that_the_narrower_model_loses_are_named(said: dict[str, Any]) -> None:
    old, new = mqls_from(None), mqls_from(CHANNELS)
    assert said_changes(said) == expected_changes(old, new)
    won = wins()
    assert {lead["lead_id"] for lead in said["lost"] if lead["won"]} == {
        lead for lead in old.keys() - new.keys() if lead in won
    }
    assert 0 < len(new) < len(old)


@pytest.mark.parametrize(("side", "channels"), [("against", None), ("candidate", CHANNELS)])
def test_the_load_is_that_of_the_contact_dates(
    said: dict[str, Any], side: str, channels: tuple[str, ...] | None
) -> None:
    asked = [asked_at for asked_at, _ in mqls_from(channels).values()]
    # The shipped model answers each MQL by two policies, and a win by itself starts none.
    started = [(policy, at) for policy in ("first_response", "acceptance") for at in asked]
    everything = [*(asked_at for asked_at, _ in contacts().values()), *wins().values()]
    expected = load_of_weekdays(started, min(everything).date(), max(everything).date())
    found = {name: said[side]["sla_load"][name] for name in expected}
    found["by_policy"] = {policy: n for policy, n in found["by_policy"].items() if n}
    assert found == expected
