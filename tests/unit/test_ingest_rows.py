"""What each key of a mapping makes of a row."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from leadstream.schemas.codec import iso
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.ingest.errors import MappingError, RowError
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.ingest.rows_to_events import Event

HEAD = "name: m\n"


def events(tmp_path: Path, csv: str, fields: str, head: str = HEAD, more: str = "") -> list[Event]:
    """Map a CSV text by a mapping of one CRM event with the given fields."""
    (tmp_path / "map.yaml").write_text(
        f"{head}events:\n- kind: crm\n{more}  fields:\n    lead_id: {{const: L}}\n"
        + ("" if "type:" in fields else "    type: {const: lead_updated}\n")
        + ("" if "event_time:" in fields else '    event_time: {const: "2024-01-01T00:00Z"}\n')
        + "".join(f"    {line}\n" for line in fields.splitlines()),
        "utf-8",
    )
    (tmp_path / "a.csv").write_text(csv, "utf-8")
    return list(read_events(tmp_path / "a.csv", load_mapping(tmp_path / "map.yaml")))


def crm(tmp_path: Path, csv: str, fields: str, head: str = HEAD, more: str = "") -> list[CrmEvent]:
    made = events(tmp_path, csv, fields, head, more)
    assert all(isinstance(event, CrmEvent) for event in made)
    return [event for event in made if isinstance(event, CrmEvent)]


def bad_row(tmp_path: Path, csv: str, fields: str, head: str = HEAD, more: str = "") -> str:
    with pytest.raises(RowError) as caught:
        events(tmp_path, csv, fields, head, more)
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_a_column_a_constant_and_a_template(tmp_path: Path) -> None:
    (event,) = crm(
        tmp_path, "a,b\n x ,y\n", 'owner: a\nstage: {const: s}\nactor: {template: "{{{a}-{b}}}"}'
    )
    assert (event.owner, event.stage, event.actor) == ("x", "s", "{x-y}")


def test_a_template_is_empty_only_where_all_its_columns_are(tmp_path: Path) -> None:
    made = crm(tmp_path, "a,b\nx,\n,\n", 'owner: {template: "{a} {b}"}')
    assert [event.owner for event in made] == ["x", None]


def test_a_value_that_looks_like_a_template_is_not_filled_again(tmp_path: Path) -> None:
    (event,) = crm(tmp_path, "a,b\n{b},y\n", 'owner: {template: "{a}"}\nactor: b')
    assert event.owner == "{b}"


def test_null_values_are_no_values_and_defaults_fill_them(tmp_path: Path) -> None:
    head = HEAD + 'null_values: ["", "-"]\n'
    made = crm(tmp_path, "a,b\n-,1\n ,2\nx,3\n", "owner: a\nactor: {column: a, default: d}", head)
    assert [(event.owner, event.actor) for event in made] == [(None, "d"), (None, "d"), ("x", "x")]


def test_without_trim_spaces_stay(tmp_path: Path) -> None:
    (event,) = crm(tmp_path, "a\n x \n", "owner: a", HEAD + "trim: false\n")
    assert event.owner == " x "


@pytest.mark.parametrize(
    ("map_else", "expected"), [("keep", ["1", "z", None]), ("null", ["1", None, None])]
)
def test_a_value_map_and_what_it_does_not_name(
    tmp_path: Path, map_else: str, expected: list[str | None]
) -> None:
    fields = f"owner: {{column: a, map: {{x: 1, n: null}}, map_else: {map_else}}}"
    assert [e.owner for e in crm(tmp_path, "a\nx\nz\nn\n", fields)] == expected


def test_a_value_that_the_map_does_not_name_is_an_error_by_default(tmp_path: Path) -> None:
    assert bad_row(tmp_path, "a\nx\nz\n", "reason: {column: a, map: {x: spam}}") == (
        'a.csv:3 column "a": "z" is not in the map of reason (x): add it, or map_else'
    )


@pytest.mark.parametrize(
    ("text", "mapped", "expected"),
    [
        ("2024-07-01", "{column: t}", "2024-06-30T22:00:00.000Z"),
        ("2024-07-01T10:00:00Z", "{column: t}", "2024-07-01T10:00:00.000Z"),
        ("2024-07-01 10:00+03:00", "{column: t}", "2024-07-01T07:00:00.000Z"),
        ("01.02.2024 03:04", '{column: t, format: "%d.%m.%Y %H:%M"}', "2024-02-01T02:04:00.000Z"),
        ("02/01/2024", '{column: t, format: ["%d.%m.%Y", "%m/%d/%Y"]}', "2024-01-31T23:00:00.000Z"),
        ("2024-07-01 00:00", "{column: t, timezone: America/New_York}", "2024-07-01T04:00:00.000Z"),
        ("2024-10-27 02:30", "{column: t}", "2024-10-27T00:30:00.000Z"),
        ("1704067200.5", "{column: t, format: epoch_s}", "2024-01-01T00:00:00.500Z"),
        ("1704067200500", "{column: t, format: epoch_ms}", "2024-01-01T00:00:00.500Z"),
        ("-1", "{column: t, format: epoch_ms}", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_in_every_form_become_utc(
    tmp_path: Path, text: str, mapped: str, expected: str
) -> None:
    head = HEAD + "timezone: Europe/Berlin\n"
    (event,) = crm(tmp_path, f"t\n{text}\n", f"event_time: {mapped}", head)
    assert iso(event.event_time) == expected


@pytest.mark.parametrize(
    ("text", "mapped", "reason"),
    [
        (
            "31.02.2024",
            '{column: t, format: "%d.%m.%Y"}',
            '"31.02.2024" is not a time written as %d.%m.%Y',
        ),
        (
            "31.12.2024",
            "{column: t}",
            '"31.12.2024" is not a time written as ISO 8601; format: "%d.%m.%Y" would fit',
        ),
        (
            "03/04/2024",
            "t",
            '"03/04/2024" is not a time written as ISO 8601; format: "%d/%m/%Y" or "%m/%d/%Y" '
            "would fit",
        ),
        (
            "1704067200",
            "t",
            '"1704067200" is not a time written as ISO 8601; format: "epoch_s" would fit',
        ),
        (
            "1704067200000",
            "{column: t, format: epoch_s}",
            '"1704067200000" is not a time written as epoch_s; format: "epoch_ms" would fit',
        ),
        (
            "99999999999999999",
            "{column: t, format: epoch_ms}",
            '"99999999999999999" is not a time written as epoch_ms',
        ),
        (
            "1800-01-01",
            "t",
            '"1800-01-01" is in the year 1799: times lie between the years 1900 and 2299',
        ),
        ("0001-01-01", "t", '"0001-01-01" is not a time written as ISO 8601'),
        ("", "t", "gives no event_time, which is required"),
    ],
)
def test_a_bad_time_is_told_with_the_format_that_would_fit(
    tmp_path: Path, text: str, mapped: str, reason: str
) -> None:
    head = HEAD + "timezone: Europe/Berlin\n"
    said = bad_row(tmp_path, f't,u\n"{text}",x\n', f"event_time: {mapped}", head)
    assert said == f'a.csv:2 column "t": {reason}'


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("12.5", ".", "12.50"),
        ("1,234,567.89", ".", "1234567.89"),
        ("1.234,5", ",", "1234.50"),
        ("1 234,50", ",", "1234.50"),
        ("1'234.50", ".", "1234.50"),
        ("-7", ".", "-7.00"),
        (".5", ".", "0.50"),
    ],
)
def test_amounts_in_every_form(tmp_path: Path, text: str, decimal: str, expected: str) -> None:
    fields = f'amount: {{column: a, decimal: "{decimal}"}}'
    (event,) = crm(tmp_path, f'a\n"{text}"\n', fields)
    assert event.amount == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.234,50", 'is not an amount; decimal: "," would fit'),
        ("12 EUR", "is not an amount; write digits only, no currency"),
        ("1,23", 'is not an amount; decimal: "," would fit'),
        ("NaN", "is not an amount; write digits only, no currency"),
    ],
)
def test_a_bad_amount_is_told(tmp_path: Path, text: str, reason: str) -> None:
    assert bad_row(tmp_path, f'a\n"{text}"\n', "amount: a") == (
        f'a.csv:2 column "a": "{text}" {reason}'
    )


def test_attributes_leave_out_what_is_empty_and_keep_times_as_utc(tmp_path: Path) -> None:
    more = '  attributes: {x: a, y: b, at: {column: t, format: "%d.%m.%Y"}}\n'
    (event,) = crm(tmp_path, "a,b,t\n1,,02.01.2024\n", "owner: a", more=more)
    assert event.attributes == {"x": "1", "at": "2024-01-02T00:00:00.000Z"}


def test_a_required_field_that_is_empty_is_told(tmp_path: Path) -> None:
    assert bad_row(tmp_path, "a,b\n,x\n", "owner: {column: a, required: true}") == (
        'a.csv:2 column "a": gives no owner, which is required'
    )


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("{column: a, equals: x}", ["x"]),
        ("{column: a, not_equals: x}", ["y", "z", None]),
        ("{column: a, in: [x, y]}", ["x", "y"]),
        ("{column: a, not_in: [x, y]}", ["z", None]),
        ("{column: a, empty: true}", [None]),
        ("{column: a, empty: false}", ["x", "y", "z"]),
    ],
)
def test_each_condition_keeps_its_rows_and_skip_when_the_others(
    tmp_path: Path, condition: str, kept: list[str | None]
) -> None:
    csv = "a,n\nx,1\ny,2\nz,3\n,4\n"
    some = crm(tmp_path, csv, "owner: a", more=f"  when: [{condition}]\n")
    others = crm(tmp_path, csv, "owner: a", more=f"  skip_when: [{condition}]\n")
    whole_row = crm(tmp_path, csv, "owner: a", HEAD + f"skip_when: [{condition}]\n")
    assert [event.owner for event in some] == kept
    assert [event.owner for event in others] == [o for o in ["x", "y", "z", None] if o not in kept]
    assert whole_row == others


def test_all_of_when_must_hold_and_any_of_skip_when_suffices(tmp_path: Path) -> None:
    tests = "[{column: a, equals: x}, {column: b, equals: y}]"
    csv = "a,b\nx,y\nx,n\nn,y\nn,n\n"
    both = crm(tmp_path, csv, 'owner: {template: "{a}{b}"}', more=f"  when: {tests}\n")
    neither = crm(tmp_path, csv, 'owner: {template: "{a}{b}"}', more=f"  skip_when: {tests}\n")
    assert [event.owner for event in both] == ["xy"]
    assert [event.owner for event in neither] == ["nn"]


def test_ids_are_uuids_of_the_id_columns_only(tmp_path: Path) -> None:
    first = crm(tmp_path, "a,b\n1,x\n2,x\n", "owner: b", more="  id: a\n")
    again = crm(tmp_path, "b,a\ny,1\ny,2\n", "owner: b", more="  id: [a]\n")
    assert [event.event_id for event in first] == [event.event_id for event in again]
    assert len({event.event_id for event in first}) == 2
    assert all(uuid.UUID(event.event_id).version == 5 for event in first)


def test_without_id_the_whole_row_makes_it_whatever_the_order_of_columns(tmp_path: Path) -> None:
    first = crm(tmp_path, "a,b\n1,x\n1,y\n1,x\n", "owner: b")
    again = crm(tmp_path, "b,a\nx,1\ny,1\nx,1\n", "owner: b")
    ids = [event.event_id for event in first]
    assert ids == [event.event_id for event in again]
    assert ids[0] == ids[2] != ids[1]


def test_mapping_and_event_names_are_part_of_the_id(tmp_path: Path) -> None:
    made = [
        crm(tmp_path, "a\n1\n", "owner: a", head, more)[0].event_id
        for head in ("name: m\n", "name: n\n")
        for more in ("  id: a\n", "  id: a\n  name: e\n")
    ]
    assert len(set(made)) == 4


def test_an_id_template_is_taken_as_it_is(tmp_path: Path) -> None:
    (event,) = crm(tmp_path, "a\n7\n", "owner: a", more='  id: "crm-{a}"\n')
    assert event.event_id == "crm-7"


@pytest.mark.parametrize("given", ["[a]", '"crm-{a}"'])
def test_an_empty_id_is_told(tmp_path: Path, given: str) -> None:
    said = bad_row(tmp_path, "a,b\n,x\n", "owner: b", more=f"  id: {given}\n")
    assert said.startswith('a.csv:2 column "a": is empty and ')


def test_a_touchpoint_needs_to_be_somebodys(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "name: m\nevents:\n- kind: touchpoint\n  fields: {lead_id: l, anonymous_id: a, "
        "type: {const: page_viewed}, event_time: t}\n  properties: {title: p}\n"
    )
    rows = ",anon,2024-01-01,Home\nL,,2024-01-01,\n,,2024-01-01,x\n"
    (tmp_path / "a.csv").write_text("l,a,t,p\n" + rows)
    made = read_events(tmp_path / "a.csv", load_mapping(tmp_path / "map.yaml"))
    first, second = next(made), next(made)
    assert isinstance(first, Touchpoint)
    assert (first.lead_id, first.anonymous_id, first.properties) == (
        None,
        "anon",
        {"title": "Home"},
    )
    assert second.lead_id == "L"
    with pytest.raises(RowError, match=r"a.csv:4: has neither lead_id nor email nor anonymous_id"):
        next(made)


def test_no_event_of_a_bad_row_is_given(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "name: m\nevents:\n"
        "- {kind: crm, fields: {lead_id: l, type: {const: lead_created}, event_time: t}}\n"
        "- {kind: crm, fields: {lead_id: l, type: {const: opportunity_won}, event_time: u}}\n"
    )
    (tmp_path / "a.csv").write_text("l,t,u\nL,2024-01-01,soon\n")
    with pytest.raises(RowError, match='column "u": "soon" is not a time'):
        next(read_events(tmp_path / "a.csv", load_mapping(tmp_path / "map.yaml")))


def test_jsonl_values_become_texts(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "name: m\nevents:\n- kind: crm\n  fields: {lead_id: id, type: {const: lead_created}, "
        "event_time: {column: at, format: epoch_ms}, amount: deal.value}\n"
        "  attributes: {flag: flag, nested: deal, list: tags}\n"
    )
    (tmp_path / "a.jsonl").write_text(
        '{"id": 7, "at": 1704067200000, "flag": true, "deal": {"value": 1.10}, "tags": ["é"]}\n'
    )
    (event,) = read_events(tmp_path / "a.jsonl", load_mapping(tmp_path / "map.yaml"))
    assert isinstance(event, CrmEvent)
    assert (event.lead_id, event.event_time, event.amount) == ("7", 1704067200000, Decimal("1.10"))
    assert event.attributes == {"flag": "true", "nested": '{"value": "1.10"}', "list": '["é"]'}


def test_half_a_surrogate_pair_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "name: m\nevents:\n- kind: crm\n  fields: {lead_id: id, type: {const: lead_created}, "
        "event_time: {const: 2024-01-01}}\n"
    )
    (tmp_path / "a.jsonl").write_text('{"id": "\\ud83d"}\n')
    with pytest.raises(RowError, match="cannot be written as UTF-8 text"):
        list(read_events(tmp_path / "a.jsonl", load_mapping(tmp_path / "map.yaml")))


def test_a_missing_column_is_refused_before_any_row(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r'map.yaml:\d+:\d+ column "ownr" is not in .*a.csv; '):
        events(tmp_path, "owner\nx\n", "owner: ownr")
