"""A mapping file that cannot be used is refused with file, line, column and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadstream.streams.ingest.errors import MappingError
from leadstream.streams.ingest.mapping_file import load_mapping

GOOD = """\
name: m
timezone: Europe/Berlin
events:
  - name: first
    kind: crm
    id: [No]
    fields:
      lead_id: No
      event_time: {column: Day, format: "%d.%m.%Y"}
      type: {const: lead_created}
"""


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "map.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    return str(caught.value).replace(str(path), "map.yaml")


def test_a_good_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD, "utf-8")
    spec = load_mapping(path).spec
    assert spec.name == "m"
    assert spec.events[0].fields["lead_id"].column == "No"
    assert spec.events[0].fields["event_time"].format == ("%d.%m.%Y",)


def test_scalars_are_the_text_that_is_written(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(
        GOOD.replace("const: lead_created", "column: T, map: {007: yes, 1.10: 2024-01-01}")
    )
    mapped = load_mapping(path).spec.events[0].fields["type"].map
    assert mapped == {"007": "yes", "1.10": "2024-01-01"}


def test_an_unquoted_null_is_a_map_else(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD.replace("const: lead_created", "column: T, map: {a: ~}, map_else: null"))
    mapped = load_mapping(path).spec.events[0].fields["type"]
    assert (mapped.map, mapped.map_else) == ({"a": None}, "null")


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"^cannot read mapping .*absent\.yaml: No such file"):
        load_mapping(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("kind: crm", "kind: [crm", "map.yaml:6:7 not YAML: while parsing a flow sequence"),
        ("timezone:", "timezon:", 'map.yaml:2:1 unknown key "timezon"; did you mean "timezone"?'),
        (
            "{column: Day,",
            "{colum: Day,",
            'map.yaml:9:20 unknown key "colum"; did you mean "column"?',
        ),
        (
            "lead_id: No",
            "lead_id: No\n      ownr: Rep",
            'map.yaml:9:7 a crm has no field "ownr"; did you mean "owner"?',
        ),
        (
            "lead_id: No",
            "lead_id: No\n      event_id: No",
            "map.yaml:9:7 event_id is made by the event's id: use that key",
        ),
        (
            "Europe/Berlin",
            "Europe/Berln",
            'map.yaml:2:1 unknown time zone "Europe/Berln"; did you mean "Europe/Berlin"?',
        ),
        (
            "kind: crm",
            "kind: crn",
            "map.yaml:5:5 kind: \"crn\": input should be 'touchpoint' or 'crm'"
            '; did you mean "crm"?',
        ),
        (
            "kind: crm",
            "kind: touchpoint",
            'map.yaml:5:5 type "lead_created" belongs to kind: crm',
        ),
        ("kind: crm", "", 'map.yaml:4:5 key "kind" is missing'),
        (
            "      lead_id: No\n",
            "",
            'map.yaml:7:5 a crm needs the field "lead_id"',
        ),
        (
            "const: lead_created",
            "const: x, column: y",
            "map.yaml:10:7 give exactly one of column, const, template",
        ),
        (
            "const: lead_created",
            "template: '{a'",
            "map.yaml:10:14 lone { in template: write {column}, or double the brace",
        ),
        (
            "const: lead_created",
            "template: a",
            'map.yaml:10:14 template "a" names no {column}: use const for a fixed text',
        ),
        (
            "const: lead_created",
            "column: T, map_else: keep",
            "map.yaml:10:25 map_else needs a map",
        ),
        (
            '"%d.%m.%Y"',
            "DD.MM.YYYY",
            'map.yaml:9:33 format "DD.MM.YYYY" is none of iso, epoch_s, epoch_ms, epoch_us, '
            "epoch_ns, epoch_days and no strptime pattern; a pattern looks like %d.%m.%Y %H:%M",
        ),
        ('"%d.%m.%Y"', '"%d.%m.%Q"', 'map.yaml:9:33 format "%d.%m.%Q": strptime knows no %Q'),
        ('"%d.%m.%Y"', '"%d.%m."', 'map.yaml:9:33 format "%d.%m." has no year: e.g. %Y-%m-%d'),
        (
            "id: [No]",
            "id: [No]\n    when: [{column: A, equals: x, empty: true}]",
            "map.yaml:7:12 give exactly one of equals, not_equals, in, not_in, starts_with, "
            "empty, changed, changed_from (with or without changed_to), any_changed",
        ),
        (
            "id: [No]",
            "id: [No]\n    when: [{column: A, equal: x}]",
            'map.yaml:7:24 unknown key "equal"; did you mean "equals"?',
        ),
        (
            "id: [No]",
            "id: [No]\n    properties: {a: B}",
            "map.yaml:7:5 a crm has attributes, not properties",
        ),
        ("name: m\n", "name: m\nname: n\n", 'map.yaml:2:1 key "name" is given twice'),
        (
            "name: m\n",
            "name: m\ncsv: {encoding: utf8000}\n",
            'map.yaml:2:7 unknown encoding "utf8000": e.g. utf-8, cp1252, utf-16',
        ),
        (
            "name: m\n",
            "name: m\ncsv: {delimiter: ab}\n",
            "map.yaml:2:7 delimiter: String should have at most 1 character",
        ),
    ],
)
def test_each_fault_has_its_place_and_mend(
    tmp_path: Path, was: str, now: str, message: str
) -> None:
    assert was in GOOD
    assert message in refused(tmp_path, GOOD.replace(was, now, 1)).splitlines()[0]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("Europe/Berlin", "Mars").replace('"%d.%m.%Y"', "day")
    lines = refused(tmp_path, text).splitlines()
    assert [line.split()[0] for line in lines] == ["map.yaml:2:1", "map.yaml:9:33"]


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    assert (
        refused(tmp_path, "- a\n") == "map.yaml:1:1 expected keys and values (name:, events:, ...)"
    )


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "expected keys and values" in refused(tmp_path, "")


def test_no_events_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: m\nevents: []\n").startswith("map.yaml:2:1 no events: ")


def test_two_events_of_one_name_are_refused(tmp_path: Path) -> None:
    second = GOOD[GOOD.index("  - name: first") :]
    assert 'a second event is named "first": names must differ' in refused(tmp_path, GOOD + second)


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    assert "alias *a contains itself" in refused(tmp_path, "name: m\nevents: &a [*a]\n")


def test_columns_that_the_file_lacks_are_named_with_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD, "utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(path).check_columns(("No", "Dai"), Path("leads.csv"))
    assert str(caught.value).replace(str(path), "map.yaml").splitlines() == [
        'map.yaml:9:20 column "Day" is not in leads.csv; did you mean "Dai"?',
        "leads.csv has the columns: No, Dai",
    ]


def test_a_single_column_with_another_delimiter_is_suspected(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD, "utf-8")
    with pytest.raises(MappingError, match=r"perhaps csv: \{delimiter: ';'\}"):
        load_mapping(path).check_columns(("No;Day",), Path("leads.csv"))


def test_optional_columns_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD + "optional_columns: [Day]\n", "utf-8")
    load_mapping(path).check_columns(("No",), Path("leads.csv"))
