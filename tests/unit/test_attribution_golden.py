"""First, last, linear and the transition matrices, as the package ChannelAttribution told them.

tests/support/make_attribution_golden.py asked it once. Its own credits by Markov are simulated.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from journeys import DAY_MS, START_MS, Journey, Step, Touch, store

from leadstream.schemas.settings import Settings
from leadstream.sinks.attribution.answers import attribution
from leadstream.sinks.attribution.chains import CONVERSION, NOTHING, SEPARATOR, START
from leadstream.sinks.attribution.markov import steps_of
from leadstream.sinks.attribution.questions import Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate

TOLD: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden/channel_attribution.json").read_text("utf-8")
)
ENDS = {"(start)": START, "(conversion)": CONVERSION, "(null)": NOTHING}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path_factory.mktemp("golden"))) as opened:
        migrate(opened)
        store(opened, list(journeys()))
        yield opened


def journeys() -> Iterator[Journey]:
    for number, (path, converted, left) in enumerate(TOLD["paths"]):
        for lead in range(converted + left):
            touches = tuple(
                Touch(START_MS + day * DAY_MS, channel) for day, channel in enumerate(path)
            )
            steps = [Step(START_MS, "known")]
            if lead < converted:
                steps.append(Step(START_MS + 30 * DAY_MS, "customer"))
            yield Journey(f"{number}-{lead}", touches, tuple(steps))


@pytest.mark.parametrize("model", ["first", "last", "linear"])
def test_rules_give_what_the_package_gives(client: ClickHouse, model: str) -> None:
    rows = attribution(client, Question(), model)
    found = {row["channel"]: row["conversions"] for row in rows}
    assert set(found) == set(TOLD["rules"])
    for channel, conversions in found.items():
        assert float(conversions) == pytest.approx(TOLD["rules"][channel][model], abs=1e-5)
    assert sum(found.values(), Decimal()) == sum(converted for _, converted, _ in TOLD["paths"])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chains_are_those_of_the_package(client: ClickHouse, order: int) -> None:
    out = Counter[str]()
    steps = steps_of(client, Question(order=order))
    for origin, _, times in steps:
        out[origin] += times
    found = {(origin, target): times / out[origin] for origin, target, times in steps}
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for origin, target, chance in TOLD["chains"][str(order)]:
        expected[state(origin), state(target)] += chance
    assert found == pytest.approx(dict(expected), abs=1e-9)


def state(told: list[str]) -> str:
    return ENDS[told[0]] if told[0] in ENDS else SEPARATOR.join(told)
