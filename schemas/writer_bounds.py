"""Whether a schema of others lets a few bytes stand for no end of values.

The Avro reader believes a record's own counts: items that take no bytes cost time and memory
without end, and a type within itself is read by recursion that ends the process.
"""

from __future__ import annotations

from typing import Any, Final

_PRIMITIVES: Final = frozenset(
    "null boolean int long float double bytes string record error enum array map fixed".split()
)


def unbounded_part(schema: Any) -> str | None:
    """Return what is without bounds in a schema, in words; None where nothing is."""
    return _find(schema, {}, "", ())


def _find(schema: Any, named: dict[str, Any], space: str, within: tuple[str, ...]) -> str | None:
    if isinstance(schema, list):
        return next((found for s in schema if (found := _find(s, named, space, within))), None)
    if isinstance(schema, str):
        name = _full(schema, space)
        return f'type "{schema}" within itself' if name in within else None
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if kind in ("record", "error", "enum", "fixed"):
        space, name = _named(schema, space)
        named[name] = schema
        fields = schema.get("fields", ())
        inner = (*within, name)
        return next((f for x in fields if (f := _find(x["type"], named, space, inner))), None)
    if kind == "array" and _is_empty(schema["items"], named, space):
        return "an array of items that take no bytes"
    if kind in ("array", "map"):
        return _find(schema.get("items", schema.get("values")), named, space, within)
    return _find(kind, named, space, within)


def _is_empty(schema: Any, named: dict[str, Any], space: str) -> bool:
    if isinstance(schema, str):
        known = named.get(_full(schema, space))
        return schema == "null" or (known is not None and _is_empty(known, named, space))
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind == "fixed":
        return bool(schema.get("size") == 0)
    if kind in ("record", "error"):
        space, _ = _named(schema, space)
        return all(_is_empty(field["type"], named, space) for field in schema.get("fields", ()))
    return kind not in _PRIMITIVES - {"null"} and _is_empty(kind, named, space)


def _named(schema: dict[str, Any], space: str) -> tuple[str, str]:
    """Return the namespace within a named type, and its full name."""
    name = str(schema.get("name", ""))
    space = name.rpartition(".")[0] if "." in name else str(schema.get("namespace") or space)
    return space, _full(name, space)


def _full(name: str, space: str) -> str:
    return name if "." in name or not space or name in _PRIMITIVES else f"{space}.{name}"
