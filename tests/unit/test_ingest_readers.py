"""Rows of CSV, JSONL and Avro files, with their lines; bad rows do not end the file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest

from leadstream.streams.ingest.errors import IngestError, RowError
from leadstream.streams.ingest.mapping import CsvOptions
from leadstream.streams.ingest.readers import FileFormat, Row, format_of, open_table


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def good(path: Path, file_format: FileFormat, options: CsvOptions | None = None) -> list[Row]:
    rows = list(open_table(path, file_format, options).rows)
    assert all(isinstance(row, Row) for row in rows), rows
    return [row for row in rows if isinstance(row, Row)]


def refusal(path: Path, file_format: FileFormat, options: CsvOptions | None = None) -> str:
    with pytest.raises(IngestError) as caught:
        list(open_table(path, file_format, options).rows)
    return str(caught.value).replace(str(path.parent) + "/", "")


def test_csv_rows_carry_the_line_that_they_start_on(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'a,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')
    assert [(row.line, dict(row.cells)) for row in good(path, "csv")] == [
        (2, {"a": "1", "b": "x\r\ny"}),
        (5, {"a": "2", "b": "z"}),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbfa\n1\n")
    assert open_table(path, "csv").columns == ("a",)


def test_csv_options_are_obeyed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "é;b\n'1;2';ü\n".encode("cp1252"))
    options = CsvOptions(delimiter=";", quote="'", encoding="cp1252")
    assert dict(good(path, "csv", options)[0].cells) == {"é": "1;2", "b": "ü"}


def test_a_tsv_file_is_split_at_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "a\tb\n1,5\t2\n")
    assert format_of(path) == "csv"
    assert dict(good(path, "csv")[0].cells) == {"a": "1,5", "b": "2"}


def test_a_row_of_the_wrong_length_is_bad_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b\n1\n1,2\n")
    bad, fine = open_table(path, "csv").rows
    assert isinstance(bad, RowError)
    assert bad.line == 2
    assert bad.reason == "has 1 cells, the header has 2: check the quotes"
    assert isinstance(fine, Row)


def test_a_quote_that_never_ends_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'a,b\n1,2\n"3,4\n5,6\n')
    *_, bad = open_table(path, "csv").rows
    assert isinstance(bad, RowError)
    assert (bad.line, bad.reason) == (3, "not CSV: unexpected end of data: check the row's quotes")


def test_an_empty_csv_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "")
    assert refusal(path, "csv") == "a.csv: empty; expected a first line with the columns' names"


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b,a\n")
    assert refusal(path, "csv") == 'a.csv:1 column "a" is there twice: rename one'


def test_another_encoding_is_told_with_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a\nfine\nM\xfcller\n".encode("latin-1"))
    assert refusal(path, "csv") == (
        "a.csv:3 byte 0xfc is not utf-8 text: say csv: {encoding: ...} in the mapping, e.g. cp1252"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.csv", "csv") == "cannot read no.csv: No such file or directory"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path, "csv")


def test_an_unknown_extension_asks_for_the_format() -> None:
    with pytest.raises(IngestError, match=r'extension "\.xlsx" is none of \.csv, .*say'):
        format_of(Path("leads.xlsx"))


def test_jsonl_rows_are_read_by_dotted_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '\ufeff{"a": {"b": 1.10}, "c.d": true}\n\n{"a": 2}\n')
    table = open_table(path, "jsonl")
    assert table.columns == ("a", "a.b", "c.d")
    first, second = (row for row in table.rows if isinstance(row, Row))
    assert (first.line, first.get("a.b"), first.get("c.d")) == (1, Decimal("1.10"), True)
    assert (second.line, second.get("a.b"), second.get("c.d")) == (3, None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1,}', "not JSON at character"),
        ("[1]", "expected one JSON object a line, got a list"),
        ('{"a": NaN}', "not JSON: NaN is no JSON value"),
        ("[" * 100_000, "not JSON"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8 text"),
    ],
)
def test_a_bad_jsonl_line_is_told_and_the_next_is_read(
    tmp_path: Path, line: str | bytes, reason: str
) -> None:
    raw = line.encode() if isinstance(line, str) else line
    bad, fine = open_table(write(tmp_path, "a.jsonl", raw + b'\n{"a": 1}\n'), "jsonl").rows
    assert isinstance(bad, RowError)
    assert bad.line == 1
    assert bad.reason.startswith(reason)
    assert isinstance(fine, Row)


def avro_file(tmp_path: Path, records: list[dict[str, Any]]) -> Path:
    inner = {"type": "record", "name": "I", "fields": [{"name": "b", "type": "string"}]}
    fields = [{"name": "n", "type": "long"}, {"name": "a", "type": ["null", inner]}]
    path = tmp_path / "a.avro"
    with path.open("wb") as stream:
        fastavro.writer(stream, {"type": "record", "name": "R", "fields": fields}, records)
    return path


def test_avro_rows_carry_the_number_of_the_record(tmp_path: Path) -> None:
    path = avro_file(tmp_path, [{"n": 1, "a": None}, {"n": 2, "a": {"b": "x"}}])
    table = open_table(path, "avro")
    assert table.columns == ("n", "a", "a.b")
    rows = [row for row in table.rows if isinstance(row, Row)]
    assert [(row.line, row.get("n"), row.get("a.b")) for row in rows] == [(1, 1, None), (2, 2, "x")]


def test_a_file_that_is_not_avro_is_refused(tmp_path: Path) -> None:
    assert "a.avro: not an Avro container file" in refusal(write(tmp_path, "a.avro", "n,a"), "avro")


def test_a_broken_avro_file_says_after_which_record(tmp_path: Path) -> None:
    path = avro_file(tmp_path, [{"n": i, "a": None} for i in range(10)])
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(path, "avro").startswith("a.avro: broken after record ")
