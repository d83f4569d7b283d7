"""Whatever stands in an export: what is read is what was written, and twice the same."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, CrmEvent, Touchpoint
from leadstream.streams.ingest.cells import amount_of, time_of
from leadstream.streams.ingest.errors import RowError
from leadstream.streams.ingest.events_of_file import read_events, read_outcomes
from leadstream.streams.ingest.jsonl import event_from_json_line, event_to_json_line
from leadstream.streams.ingest.mapping import fill_template, template_columns
from leadstream.streams.ingest.mapping_file import load_mapping

MAPPING = """\
name: m
trim: false
csv: {delimiter: DELIMITER}
events:
- kind: crm
  id: [no]
  fields: {lead_id: {template: "L{no}"}, type: {const: lead_updated}, event_time: t, owner: a}
  attributes: {b: b}
"""

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
times = st.integers(EARLIEST_MS, LATEST_MS)
amounts = st.decimals(-(10**12), 10**12, places=2, allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_random_csv_files_come_back_cell_for_cell_and_twice_the_same(
    cells: list[tuple[str, str]], delimiter: str
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["no", "t", "a", "b"])
    writer.writerows([i, "2024-01-01", a, b] for i, (a, b) in enumerate(cells))
    with TemporaryDirectory() as directory:
        path, mapping_path = Path(directory, "a.csv"), Path(directory, "m.yaml")
        path.write_text(written.getvalue(), "utf-8", newline="")
        mapping_path.write_text(MAPPING.replace("DELIMITER", repr(delimiter).replace("'", '"')))
        mapping = load_mapping(mapping_path)
        once, again = list(read_events(path, mapping)), list(read_events(path, mapping))
    assert once == again
    assert len({event.event_id for event in once}) == len(cells)
    got = [(e.owner or "", e.attributes.get("b", "")) for e in once if isinstance(e, CrmEvent)]
    assert got == cells


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_jsonl(content: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "a.jsonl")
        path.write_bytes(content)
        outcomes = list(read_outcomes(path))
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert len(outcomes) == sum(bool(line.strip()) for line in lines)
    assert all(isinstance(outcome, RowError) for outcome in outcomes)


@given(
    st.builds(
        Touchpoint,
        event_id=names,
        event_time=times,
        sent_at=st.none() | times,
        type=names,
        anonymous_id=names,
        channel=st.none() | texts,
        properties=st.dictionaries(texts, texts, max_size=3),
    )
    | st.builds(
        CrmEvent,
        event_id=names,
        event_time=times,
        lead_id=names,
        type=names,
        amount=st.none() | amounts,
        attributes=st.dictionaries(texts, texts, max_size=3),
    )
)
def test_an_event_comes_back_from_its_line(event: Touchpoint | CrmEvent) -> None:
    line = event_to_json_line(event)
    assert "\n" not in line
    assert event_from_json_line(line) == event


@given(amounts, st.sampled_from([".", ","]), st.booleans())
def test_amounts_come_back_however_they_are_written(
    amount: Decimal, decimal: str, grouped: bool
) -> None:
    text = f"{amount:,.2f}" if grouped else f"{amount:.2f}"
    if decimal == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    assert amount_of(text, decimal) == amount


@given(st.dictionaries(st.sampled_from(["a", "b c", "d.e"]), texts, min_size=1), texts)
def test_a_template_is_its_texts_joined(cells: dict[str, str], between: str) -> None:
    escaped = between.replace("{", "{{").replace("}", "}}")
    template = escaped.join("{" + column + "}" for column in cells)
    assert template_columns(template) == list(cells)
    assert fill_template(template, dict(cells)) == between.join(cells.values())


@given(times)
def test_epoch_milliseconds_come_back(at_ms: int) -> None:
    assert time_of(str(at_ms), ("epoch_ms",), ZoneInfo("Asia/Kolkata")) == at_ms
