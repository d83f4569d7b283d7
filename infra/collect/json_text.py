"""Bodies of requests: JSON, numbers as they are written, within what a stack holds."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from leadstream.infra.collect.refused import not_readable
from leadstream.schemas.codec import parse_number

T = TypeVar("T", bound=msgspec.Struct)

_ANY: Final = msgspec.json.Decoder(float_hook=parse_number)


def parsed(body: bytes | msgspec.Raw) -> Any:
    """Return the value; raises RefusedError where it is no JSON."""
    try:
        return _ANY.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise not_readable(f"the body is not JSON: {_said(error)}") from None


def parsed_as(body: bytes, kind: type[T]) -> T:
    """Return a body of a shape; raises RefusedError where it is another."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise not_readable(f"the body cannot be read: {_said(error)}") from None


def list_of(body: bytes) -> list[msgspec.Raw]:
    """Return the items of a list, each as it is written; raises RefusedError for anything else."""
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise not_readable(f"the body is no JSON array: {_said(error)}") from None


def written(value: Any) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.Encoder(decimal_format="number").encode(value)


def _said(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
