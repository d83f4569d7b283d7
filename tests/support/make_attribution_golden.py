"""Writes tests/golden/channel_attribution.json: what the package ChannelAttribution says of paths.

    pip install ChannelAttribution pandas && python tests/support/make_attribution_golden.py

The package (GPL-3, a C++ extension) is asked once, here; the tests read what it answered. Of its
Markov model only the transition matrix is kept, since it simulates the credits.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

PATHS = 300
CHANNELS = ("direct", "email", "paid", "organic", "social", "referral", "webinar")
FILE = Path(__file__).parents[1] / "golden/channel_attribution.json"


def main() -> None:
    import pandas
    from ChannelAttribution import heuristic_models, transition_matrix

    paths = made()
    data = pandas.DataFrame(
        {
            "path": [" > ".join(path) for path, _, _ in paths],
            "converted": [converted for _, converted, _ in paths],
            "left": [left for _, _, left in paths],
        }
    )
    rules = heuristic_models(data, "path", "converted", flg_pro=False)
    told: dict[str, Any] = {
        "paths": paths,
        "rules": {
            row["channel_name"]: {
                "first": row["first_touch"],
                "last": row["last_touch"],
                "linear": row["linear_touch"],
            }
            for row in rules.to_dict("records")
        },
        "chains": {},
    }
    for order in (1, 2, 3):
        found = transition_matrix(data, "path", "converted", "left", order=order, flg_pro=False)
        names = {
            str(row["id_channel"]): row["channel_name"]
            for row in found["channels"].to_dict("records")
        }
        told["chains"][order] = [
            [_state(row["channel_from"], names), _state(row["channel_to"], names), row["p"]]
            for row in found["transition_matrix"]
            .rename(columns={"transition_probability": "p"})
            .to_dict("records")
        ]
    FILE.write_text(json.dumps(told, separators=(",", ":")) + "\n", "utf-8")


def made() -> list[tuple[list[str], int, int]]:
    """Return paths, how many leads converted after each, and how many did not."""
    random = Random(7)
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    while len(found) < PATHS:
        path = tuple(random.choices(CHANNELS, range(7, 0, -1), k=random.randint(1, 6)))
        found.setdefault(path, (random.choice((0, 0, 1, 2, 5)), random.randint(1, 6)))
    return [(list(path), converted, left) for path, (converted, left) in found.items()]


def _state(told: str, names: dict[str, str]) -> list[str]:
    if told in ("(start)", "(conversion)", "(null)"):
        return [told]
    return [names[number] for number in told.split()]


if __name__ == "__main__":
    main()
