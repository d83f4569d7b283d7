"""Every view that is shipped, and how a test asks it: those that take parameters with which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from leadstream.sinks.migrate import VIEW_VERSION, shipped_scripts

CONVERSIONS: Final = ("mql", "sql", "opportunity", "won")
FIELDS: Final = ("channel", "asset")

PARAMETERS: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "v_attribution": {
        "model": ("all",),
        "conversion": CONVERSIONS,
        "lookback_days": (90,),
        "half_life_days": (7.0,),
    },
    "v_journeys": {"conversion": CONVERSIONS, "lookback_days": (90,)},
    "v_open_paths": {"conversion": ("mql", "won"), "by": FIELDS, "lookback_days": (90,)},
    "v_paths": {"conversion": ("mql", "won"), "by": FIELDS, "lookback_days": (90,)},
    "v_performance": {
        "since": ("1970-01-01 00:00:00.000",),
        "until": ("2299-12-31 00:00:00.000",),
        "early_hours": (24,),
        "few_activities": (2,),
    },
}
"""Of each view with parameters, the values of each; a test asks all combinations."""

AS_TOLD: Final = frozenset({"v_tellings", "v_touchpoints", "v_crm_events"})
"""Views of rows as they were told, perhaps repeatedly; tests ask for distinct rows."""

_PARAMETER: Final = re.compile(r"\{(\w+):[^{}]+\}")


def shipped_views() -> dict[str, str]:
    """Return the script of every view, by the view's name."""
    return {
        script.name.removesuffix(".sql"): script.text
        for script in shipped_scripts()
        if script.version == VIEW_VERSION
    }


def parameters_of(sql: str) -> set[str]:
    """Return the names of the parameters of a view's script."""
    return set(_PARAMETER.findall(sql))


def sources(view: str, sql: str) -> Iterator[str]:
    """Give what stands behind FROM to ask a view, with each combination of its parameters."""
    taken = parameters_of(sql)
    given = PARAMETERS.get(view, {})
    assert taken == set(given), f"{view} takes {taken or 'no parameters'}: say so in {__name__}"
    for values in product(*given.values()):
        arguments = ", ".join(
            f"{name} = {value!r}" for name, value in zip(given, values, strict=True)
        )
        yield f"{view}({arguments})" if given else view


def every_source() -> list[str]:
    """Return what stands behind FROM for every view, as `sources` gives it."""
    return [
        f"(SELECT DISTINCT * FROM {source})" if view in AS_TOLD else source
        for view, sql in shipped_views().items()
        for source in sources(view, sql)
    ]
