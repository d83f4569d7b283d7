"""The documentation of mapping files names every key; its example is the shipped one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from leadstream.streams.ingest.mapping import (
    Condition,
    CsvOptions,
    EventMapping,
    FieldMapping,
    RowMapping,
)

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "infra" / "docs" / "mappings.md").read_text("utf-8")
SECTIONS = {
    RowMapping: "## The keys of the file",
    CsvOptions: "### `csv`",
    EventMapping: "### An event",
    Condition: "### A condition",
    FieldMapping: "### A field",
}


def section(heading: str) -> str:
    body = DOCS.split(f"\n{heading}\n")[1]
    return re.split(r"\n##+ ", body)[0]


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_every_key_is_documented_and_no_other(model: type[BaseModel]) -> None:
    keys = [field.alias or name for name, field in model.model_fields.items()]
    assert re.findall(r"^\| `(\w+)` \|", section(SECTIONS[model]), re.MULTILINE) == keys


def test_the_example_is_the_shipped_one() -> None:
    shipped = (ROOT / "infra" / "mappings" / "example_crm_export.yaml").read_text("utf-8")
    export = (ROOT / "tests" / "golden" / "ingest_example_crm_export.csv").read_text("cp1252")
    events = (ROOT / "tests" / "golden" / "ingest_example_crm_export.jsonl").read_text("utf-8")
    worked = section("## A worked example")
    blocks = re.findall(r"```(yaml|csv|json)\n(.*?)```", worked, re.DOTALL)
    sources = {"yaml": shipped, "csv": export, "json": events}
    assert len(blocks) == 4
    for language, block in blocks:
        for line in block.splitlines():
            assert line in sources[language].splitlines()


def test_every_shipped_mapping_is_listed() -> None:
    shipped = {path.name for path in (ROOT / "infra" / "mappings").glob("*.yaml")}
    assert set(re.findall(r"^\| `(\w+\.yaml)`", DOCS, re.MULTILINE)) == shipped
