"""Native blocks as newer protocol versions frame them, against a reader that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import chdb
import pytest

from leadstream.infra.front.faults import FrontError
from leadstream.infra.front.native import WITH_CUSTOM_SERIALIZATION, reframed

INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
VALUES = [
    "1::Int8",
    "1::Int256",
    "1.5::Float64",
    "true",
    "'text'",
    "repeat('x', 300)",
    "toFixedString('abc', 5)",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
    "toIPv6('::1')",
    "toDate('2026-01-01')",
    "toDateTime('2026-01-01 00:00:00', 'UTC')",
    "toDateTime64('2026-01-01 00:00:00', 3, 'UTC')",
    "toDecimal32(1, 2)",
    "toDecimal128(1, 9)",
    "toIntervalDay(1)",
    "CAST('a' AS Enum8('a' = 1, 'b,(''' = 2))",
    "NULL",
    "[1, NULL]",
    "[]",
    "[[1], []]",
    "toLowCardinality('x')",
    "toLowCardinality(toNullable('x'))",
    "CAST(if(number = 1, NULL, 'x') AS LowCardinality(Nullable(String)))",
    "['a', 'b']::Array(LowCardinality(String))",
    "[]::Array(LowCardinality(String))",
    "map('a', 'b')::Map(LowCardinality(String), String)",
    "map()::Map(LowCardinality(String), DateTime64(3, 'UTC'))",
    "tuple(1, 'a', [1, 2])",
    "(1, 'x')::Tuple(a UInt8, `b, (c` String)",
    "[(toLowCardinality('a'), [])]::Array(Tuple(x LowCardinality(String), y Array(String)))",
    "(1.5, 2.5)::Point",
    "[(1.5, 2.5)]::Ring",
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    connection = chdb.connect(":memory:")
    yield connection
    connection.close()


def block(engine: Any, sql: str) -> bytes:
    found: bytes = engine.query(sql, "Native").bytes()
    return found


@pytest.mark.parametrize("value", VALUES)
def test_every_column_of_every_block_says_that_its_values_are_as_usual(
    engine: Any, value: str
) -> None:
    """A column alone, whose end is that of the block, tells where it has to be put."""
    columns = [f"{value} AS x", "number AS n", f"{value} AS y"]
    alone = [block(engine, f"SELECT {column} FROM numbers(3)") for column in columns]
    expected = INFO + b"\x03\x03"
    for given in alone:
        kind_at = 2 + 1 + given[2]
        values_at = kind_at + 1 + given[kind_at]
        expected += given[2:values_at] + b"\x00" + given[values_at:]
    whole = block(engine, f"SELECT {', '.join(columns)} FROM numbers(3)")
    assert reframed(whole, WITH_CUSTOM_SERIALIZATION) == expected
    assert reframed(whole + whole, WITH_CUSTOM_SERIALIZATION) == 2 * expected


def test_an_older_version_gets_the_info_of_each_block_only(engine: Any) -> None:
    whole = block(engine, "SELECT 'a', 1")
    assert reframed(whole + whole, 54405) == 2 * (INFO + whole)
    assert reframed(whole, 0) == whole


def test_a_type_that_cannot_be_walked_through_is_refused_with_the_mend(engine: Any) -> None:
    with pytest.raises(FrontError, match=r"cast it, for example with toString\(\)"):
        reframed(block(engine, "SELECT 1::Dynamic"), 54460)
