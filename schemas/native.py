"""The compiled codec, where it was built: what of a schema and its struct it reads and writes.

It is an extension, which an installation without a C compiler lacks; `codec.py` then does the
same through fastavro, several times slower.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from leadstream.schemas.versions import parsed_schema

if TYPE_CHECKING:
    from leadstream.schemas import _avro

    AVAILABLE: bool
else:
    try:
        from leadstream.schemas import _avro
    except ImportError:
        AVAILABLE = False
    else:
        AVAILABLE = True

IMPLEMENTATION = "compiled" if AVAILABLE else "fastavro, since the compiled one was not built"
_log = logging.getLogger(__name__)


class NoPlanError(Exception):
    """The schema or the struct has what the compiled codec does not know; the message names it."""


def reader_of(name: str, struct_type: type[msgspec.Struct]) -> _avro.Reader | None:
    """Return a reader of our schema `name`, or None where there is no compiled codec."""
    record = _record_of(name, struct_type)
    return None if record is None else _avro.Reader(record)


def writer_of(name: str, struct_type: type[msgspec.Struct], header: bytes) -> _avro.Writer | None:
    """Return a writer of our schema `name`, or None where there is no compiled codec."""
    record = _record_of(name, struct_type)
    return None if record is None else _avro.Writer(record, header)


@cache
def _record_of(name: str, struct_type: type[msgspec.Struct]) -> _avro.Record | None:
    if not AVAILABLE:
        return None
    try:
        return plan(parsed_schema(name), struct_type)
    except (NoPlanError, _avro.LayoutError) as error:
        _log.warning("%s goes through fastavro, which is slow: %s", name, error)
        return None


def plan(schema: Any, struct_type: type[msgspec.Struct]) -> _avro.Record:
    """Return how records of a parsed schema are read into, and written from, a struct.

    Raises:
        NoPlanError: the schema and the struct differ, or one has more than we know.
        LayoutError: this msgspec keeps fields where we cannot reach them.
    """
    return _record(schema, inspect.type_info(struct_type), schema["name"])


def _record(schema: Any, kind: Any, place: str) -> _avro.Record:
    if not isinstance(kind, inspect.StructType):
        raise NoPlanError(f"{place}: a record, but no struct")
    if kind != inspect.StructType(kind.cls, kind.fields) or hasattr(kind.cls, "__post_init__"):
        raise NoPlanError(f"{place}: {kind.cls.__name__} is more than a struct of fields")
    fields = {field.encode_name: field for field in kind.fields}
    names = tuple(field["name"] for field in schema["fields"])
    if not names or set(names) != fields.keys() != {field.name for field in kind.fields}:
        raise NoPlanError(f"{place}: fields differ from those of {kind.cls.__name__}")
    types = tuple(
        _type(field["type"], fields[field["name"]].type, f"{place}.{field['name']}")
        for field in schema["fields"]
    )
    return _avro.Record(kind.cls, names, types)


def _type(schema: Any, kind: Any, place: str) -> _avro.AvroType:
    if isinstance(schema, list):
        return _nullable(schema, kind, place)
    form = schema if isinstance(schema, dict) else {"type": schema}
    match form["type"]:
        case "record":
            return _record(form, kind, place)
        case "array" if isinstance(kind, inspect.ListType) and not _is_bounded(kind):
            return _avro.Array(_type(form["items"], kind.item_type, f"{place}[]"))
        case "map" if isinstance(kind, inspect.DictType) and not _is_bounded(kind):
            if kind.key_type == _TEXT:
                return _avro.Map(_type(form["values"], kind.value_type, f"{place}{{}}"))
        case "string" if kind == _TEXT and "logicalType" not in form:
            return _avro.Text()
        case "double" if kind == inspect.FloatType():
            return _avro.Double()
        case "boolean" if kind == inspect.BoolType():
            return _avro.Boolean()
        case "bytes" if kind == inspect.DecimalType() and form.get("logicalType") == "decimal":
            return _money(form, place)
        case ("int" | "long") as size if "logicalType" not in form:
            return _integer(kind, 32 if size == "int" else 64, place)
    raise NoPlanError(f"{place}: Avro {form}, but {kind}")


_TEXT = inspect.StrType()


def _is_bounded(kind: inspect.ListType | inspect.DictType) -> bool:
    return kind.min_length is not None or kind.max_length is not None


def _nullable(schema: list[Any], kind: Any, place: str) -> _avro.AvroType:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else ()
    others = [other for other in kinds if other != inspect.NoneType()]
    if len(schema) != 2 or schema[0] != "null" or len(others) != 1 or len(kinds) != 2:
        raise NoPlanError(f"{place}: a union of more than null, first, and one type")
    return _avro.Nullable(_type(schema[1], others[0], place))


def _integer(kind: Any, bits: int, place: str) -> _avro.AvroType:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if not isinstance(kind, inspect.IntType) or kind != inspect.IntType(ge=kind.ge, le=kind.le):
        raise NoPlanError(f"{place}: a whole number, but {kind}")
    return _avro.Integer(
        least if kind.ge is None else max(least, kind.ge),
        most if kind.le is None else min(most, kind.le),
        bits,
    )


def _money(form: dict[str, Any], place: str) -> _avro.AvroType:
    precision, scale = form["precision"], form.get("scale", 0)
    if not 0 <= scale <= precision <= 18:
        raise NoPlanError(f"{place}: a decimal of precision {precision} and scale {scale}")
    return _avro.Money(precision, scale)
