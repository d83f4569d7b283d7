"""The file that names the sources: every fault has its place, and every key its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.topics import ALL, TopicNames, dlq_of, source_topic
from leadstream.streams.ingest.changes import COLUMNS
from leadstream.streams.ingest.errors import IngestError, MappingError
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.sources.sources_file import SourceSpec, load_sources

from ..support.change_feeds import FIXTURES, MAPPINGS

DOCS = Path(__file__).parents[2] / "infra" / "docs"
GOOD = f"""\
sources:
  - name: crm
    kind: debezium
    topics: [crm.public.leads]
    mappings:
      leads: {MAPPINGS}/crm_db_leads.yaml
"""
MAPPING = """\
name: m
format: changes
gap: $id
events:
  - kind: crm
    when: [{column: status, changed_from: a, changed_to: [b, c]}]
    fields:
      lead_id: $id
      event_time: $at
      type: {const: lead_accepted}
      amount: {column: value, scale: 2}
"""


def sources_file(folder: Path, text: str) -> Path:
    path = folder / "sources.yaml"
    path.write_text(text)
    return path


def test_a_source_has_its_mappings_and_schemas(tmp_path: Path) -> None:
    schema = FIXTURES / "salesforce" / "LeadChangeEvent.avsc"
    text = GOOD + f"    schema_files: [{schema}]\n"
    (source,) = load_sources(sources_file(tmp_path, text))
    assert source.mappings["leads"].spec.name == "crm_db_leads"
    assert source.schemas.keys() == {"LeadChangeEvent"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("kind: debezium", "kind: debezum", ":3:5 kind: \"debezum\": input should be 'salesforce'"),
        ("name: crm", "nam: crm", ':2:5 unknown key "nam"; did you mean "name"?'),
        ("name: crm", "name: a b", ":2:5 name:"),
        ("[crm.public.leads]", "[a b]", ':4:5 "a b" is no name of a topic'),
        ("[crm.public.leads]", "[a, a]", ':4:17 topic "a" is named twice'),
        ("[crm.public.leads]", "[]", ":4:5 topics:"),
        ("crm_db_leads.yaml", "nowhere.yaml", "cannot read mapping"),
        ("crm_db_leads.yaml", "olist_mqls.yaml", "a source needs a mapping with format: changes"),
        ("mappings:", "schema_files: [no.avsc]\n    mappings:", ":5:20 cannot read"),
        ("sources:", "sources: [", "not YAML"),
    ],
)
def test_each_fault_has_its_place(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = sources_file(tmp_path, GOOD.replace(before, after, 1))
    with pytest.raises(MappingError) as told:
        load_sources(path)
    assert message in str(told.value)
    result = CliRunner().invoke(cli, ["connect", str(path), "--check"])
    assert result.exit_code == ExitCode.CONFIGURATION
    assert message in result.stderr


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = GOOD + GOOD.removeprefix("sources:\n")
    with pytest.raises(MappingError, match=r':7:5 a second source is named "crm"'):
        load_sources(sources_file(tmp_path, twice))


def test_salesforce_cannot_be_asked_what_was_before(tmp_path: Path) -> None:
    text = GOOD.replace("debezium", "salesforce")
    with pytest.raises(MappingError, match=r"crm_db_leads.yaml:\d+:\d+ Salesforce does not tell"):
        load_sources(sources_file(tmp_path, text))


def test_check_tells_what_is_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["connect", str(sources_file(tmp_path, GOOD)), "--check"])
    assert (result.exit_code, result.output) == (0, "crm: leads of crm.public.leads\n")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("format: changes\n", "", ":2:1 a file has no gaps: gap is for format: changes"),
        ("format: changes\n", "", "a file tells no changes: changed is for format: changes"),
        ("lead_id: $id", "lead_id: $idd", 'a change has no "$idd"; did you mean "$id"?'),
        ("lead_id: $id", "lead_id: {template: 'a}'}", "lone } in template: write {column}"),
        ("gap: $id", "gap: {template: '{a'}", "lone { in template: write {column}"),
        ("gap: $id", "gap: {colum: $id}", 'unknown key "colum"; did you mean "column"?'),
        ("gap: $id", "csv: {}", "csv is for files, not for format: changes"),
        ("type: {const: lead_accepted}", "type: {column: t, scale: 2}", '"type" is no amount'),
        ("scale: 2", "scale: 2, decimal: ','", "is not written with a decimal separator"),
        ("scale: 2", "scale: two", "scale:"),
        ("changed_from: a,", "changed_from: a, empty: true,", "give exactly one of"),
    ],
)
def test_each_fault_of_a_mapping_of_changes_has_its_mend(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MAPPING)
    assert load_mapping(path).spec.events[0].when[0].changed_to == ("b", "c")
    path.write_text(MAPPING.replace(before, after, 1))
    with pytest.raises(MappingError) as told:
        load_mapping(path)
    assert message in str(told.value)


def test_what_is_taken_over_can_be_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: m\nevents:\n"
        "  - kind: crm\n    name: a\n    fields: &all\n"
        "      {lead_id: l, event_time: t, type: {const: lead_created}}\n"
        "  - kind: crm\n    fields:\n      <<: *all\n      type: {const: lead_updated}\n"
    )
    first, second = load_mapping(path).spec.events
    assert second.fields["lead_id"] == first.fields["lead_id"]
    assert second.fields["type"].const == "lead_updated"
    path.write_text(path.read_text().replace("<<: *all", "<<: [*all]"))
    with pytest.raises(MappingError, match=r"m.yaml:9:7 << takes one alias"):
        load_mapping(path)


def test_a_file_is_not_read_by_a_mapping_of_changes(tmp_path: Path) -> None:
    data = tmp_path / "leads.csv"
    data.write_text("id\n1\n")
    mapping = load_mapping(MAPPINGS / "crm_db_leads.yaml")
    with pytest.raises(IngestError, match="leadstream connect"):
        read_events(data, mapping)


def test_every_key_and_every_column_of_a_change_is_documented() -> None:
    keys = re.findall(
        r"^\| `(\w+)` \|", (DOCS / "sources" / "topics.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(keys) == set(SourceSpec.model_fields)
    columns = re.findall(
        r"^\| `(\$\w+)` \| (.*) \|$", (DOCS / "mappings.md").read_text("utf-8"), re.MULTILINE
    )
    assert dict(columns) == COLUMNS


def test_a_topic_of_others_has_no_prefix_and_one_place_for_its_dead_letters() -> None:
    names = TopicNames("staging.")
    assert names.full(source_topic("crm.leads")) == "crm.leads"
    assert dlq_of(source_topic("crm.leads")) == "sources.dlq"
    assert "sources.dlq" in ALL
