"""What differs between two models, in words; walks whatever fields the model has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from pydantic import BaseModel

from leadstream.streams.domain.durations import DurationS
from leadstream.streams.domain.model import Model

NEW: Final = "new"
GONE: Final = "gone"
CHANGED: Final = "changed"
MOVED: Final = "moved"

_LABELS: Final = ("name", "to")
"""Fields that tell one part of a list from another, in this order."""
_KIND_BY_PLACE: Final = {
    "fit.rules": "fit rule",
    "engagement.rules": "rule",
    "engagement.groups": "group",
    "criteria.mql": "criterion",
    "criteria.sql": "SQL criterion",
    "criteria.engaged": "engaged criterion",
    "fit.grades": "grade",
    "sla.policies": "",
    "nurture.buyer_stages": "buyer's stage",
}
_KIND_BY_FIELD: Final = {"target": "grade", "hours": "hours"}
"""What a named part, or the key of a mapping, is called where its field does not say it."""
_POINTS: Final = frozenset({"points", "max", "threshold", "disarm", "max_score"})
_EXPRESSION: Final = "when"
_UNITS_S: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; `before` and `after` as people write them, None where absent.

    `path` is its place, parts by their names: `engagement.rules.pricing_page.points`.
    """

    path: str
    kind: str
    text: str
    before: str | None
    after: str | None


def diff_models(before: Model, after: Model) -> list[Difference]:
    """Return everything that differs, in the order of the model's fields."""
    return list(_of_parts(before, after, _Place()))


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the model: the named thing that it belongs to, and the way within that."""

    path: tuple[str, ...] = ()
    subject: str = ""
    way: tuple[str, ...] = ()
    is_key: bool = False

    def field(self, name: str) -> _Place:
        return _Place((*self.path, name), self.subject, (*self.way, name.replace("_", " ")))

    def item(self, name: str) -> _Place:
        """Return the place of a named part of a list, or of a key of a mapping."""
        path = (*self.path, name)
        if self.is_key:
            return _Place(path, self.subject, (*self.way, name), is_key=True)
        own = self.path[-1]
        kind = _KIND_BY_PLACE.get(".".join(self.path))
        if kind is None:
            kind = _KIND_BY_FIELD.get(own) or _singular(own.replace("_", " "))
        called = f"{kind} {name}".strip()
        if self.subject:
            return _Place(path, self.subject, (*self.way[:-1], called), is_key=True)
        return _Place(path, called, (), is_key=True)

    @property
    def lead_in(self) -> str:
        """What stands before the values."""
        way = " ".join(self.way)
        if not self.subject:
            return f"{way}: "
        return f"{self.subject}: {way} " if way else f"{self.subject}: "

    @property
    def title(self) -> str:
        """What stands before `new` or `gone`."""
        return ": ".join(filter(None, (self.subject, " ".join(self.way))))


def _of_parts(before: BaseModel, after: BaseModel, place: _Place) -> Iterator[Difference]:
    hints = _hints(type(after))
    for name in type(after).model_fields:
        if name in _LABELS and place.is_key:
            continue
        yield from _of_values(
            getattr(before, name), getattr(after, name), place.field(name), hints[name], name
        )


def _of_values(
    before: Any, after: Any, place: _Place, hint: Any, name: str
) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        yield from _of_parts(before, after, place)
    elif _is_named_list(before) or _is_named_list(after):
        yield from _of_lists(before, after, place)
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _of_mappings(before, after, place, hint, name)
    else:
        yield _changed(before, after, place, hint, name)


def _changed(before: Any, after: Any, place: _Place, hint: Any, name: str) -> Difference:
    old, new = (_shown(value, hint, name) for value in (before, after))
    path = ".".join(place.path)
    lead_in = f"{place.subject}: " if place.way == ("points",) else place.lead_in
    if before is None:
        return Difference(path, NEW, f"{lead_in}{new} (new)", old, new)
    if after is None:
        return Difference(path, GONE, f"{lead_in}{old} → none", old, new)
    if isinstance(before, list) and isinstance(after, list):
        return Difference(path, CHANGED, lead_in + _exchanged(before, after, hint, name), old, new)
    unit = " points" if name in _POINTS else ""
    return Difference(path, CHANGED, f"{lead_in}{old} → {new}{unit}", old, new)


def _exchanged(before: list[Any], after: list[Any], hint: Any, name: str) -> str:
    added = [item for item in after if item not in before]
    dropped = [item for item in before if item not in after]
    told = [
        f"{verb} {_shown(items, hint, name)}"
        for verb, items in (("adds", added), ("drops", dropped))
        if items
    ]
    return ", ".join(told) or f"{_shown(before, hint, name)} → {_shown(after, hint, name)}"


def _of_lists(before: Any, after: Any, place: _Place) -> Iterator[Difference]:
    old, new = _by_label(before), _by_label(after)
    for label, part in new.items():
        at = place.item(label)
        if label not in old:
            yield _whole(part, at, NEW)
        else:
            yield from _of_parts(old[label], part, at)
    for label, part in old.items():
        if label not in new:
            yield _whole(part, place.item(label), GONE)
    kept_before = [label for label in old if label in new]
    kept_after = [label for label in new if label in old]
    if kept_before != kept_after and _EXPRESSION in type(next(iter(new.values()))).model_fields:
        yield Difference(
            ".".join(place.path),
            MOVED,
            f"{place.title}: order {', '.join(kept_before)} → {', '.join(kept_after)}",
            ", ".join(kept_before),
            ", ".join(kept_after),
        )


def _whole(part: BaseModel, place: _Place, kind: str) -> Difference:
    summary = _summary(part)
    told = f"{place.title}: {kind}" + (f" ({summary})" if summary and kind == NEW else "")
    before, after = (None, summary) if kind == NEW else (summary, None)
    return Difference(".".join(place.path), kind, told, before, after)


def _of_mappings(
    before: Mapping[Any, Any], after: Mapping[Any, Any], place: _Place, hint: Any, name: str
) -> Iterator[Difference]:
    inner = next(iter(get_args(hint)[1:]), None)
    for key in dict.fromkeys([*after, *before]):
        at = place.item(str(key))
        if key in before and key in after:
            yield from _of_values(before[key], after[key], at, inner, _item_name(at, name))
            continue
        kind, value = (NEW, after[key]) if key in after else (GONE, before[key])
        shown = _shown(value, inner, name)
        told = f"{at.title}: {kind}" + (f" ({shown})" if kind == NEW else "")
        old, new = (None, shown) if kind == NEW else (shown, None)
        yield Difference(".".join(at.path), kind, told, old, new)


def _item_name(place: _Place, name: str) -> str:
    return "max" if ".".join(place.path[:-1]) in ("engagement.groups", "fit.grades") else name


def _is_named_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], BaseModel)
        and any(label in type(value[0]).model_fields for label in _LABELS)
    )


def _by_label(parts: Any) -> dict[str, BaseModel]:
    """Return parts by their names; one that is there again gets its number."""
    found: dict[str, BaseModel] = {}
    times: Counter[str] = Counter()
    for part in parts or ():
        label = str(next(getattr(part, name) for name in _LABELS if hasattr(part, name)))
        times[label] += 1
        found[label if times[label] == 1 else f"{label} ({times[label]})"] = part
    return found


def _summary(part: BaseModel) -> str:
    """Return a part's own settings, those that are not defaults, in a few words."""
    hints = _hints(type(part))
    told = []
    for name in type(part).model_fields:
        value = getattr(part, name)
        if name in _LABELS or name not in part.model_fields_set or value is None:
            continue
        told.append(_setting(name, value, hints[name]))
    return ", ".join(told)


def _setting(name: str, value: Any, hint: Any) -> str:
    if value is True:
        return name.replace("_", " ")
    shown = _shown(value, hint, name)
    return f"{shown} points" if name == "points" else f"{name.replace('_', ' ')} {shown}"


def _shown(value: Any, hint: Any, name: str) -> str | None:
    """Return a value as people write it in the model."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (int, float)) and _is_duration(hint):
        return duration(value)
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, BaseModel):
        return _summary_of_value(value)
    if isinstance(value, dict):
        inner = next(iter(get_args(hint)[1:]), None)
        return ", ".join(f"{key} {_shown(item, inner, name)}" for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        inner = next(iter(get_args(hint)), None)
        return ", ".join(str(_shown(item, inner, name)) for item in value) or "none"
    text = str(value)
    return f"`{text}`" if name == _EXPRESSION else text


def _summary_of_value(value: BaseModel) -> str:
    fields = type(value).model_fields
    if set(fields) == {"start_min", "end_min"}:
        start, end = (getattr(value, name) for name in ("start_min", "end_min"))
        return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    label = next((str(getattr(value, n)) for n in _LABELS if n in fields), "")
    return f"{label} ({_summary(value)})" if label else _summary(value)


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that divides it.

    >>> duration(5_184_000)
    '60 d'
    """
    for unit, size in _UNITS_S:
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.10g} s"


@cache
def _hints(part: type[BaseModel]) -> dict[str, Any]:
    return get_type_hints(part, include_extras=True)


def _is_duration(hint: Any) -> bool:
    return hint == DurationS or any(_is_duration(inner) for inner in get_args(hint))


def _singular(noun: str) -> str:
    return re.sub(r"(?<=[^s])s$", "", re.sub(r"ies$", "y", noun))
