"""Credits of random journeys against brute force: by each rule, and over all coalitions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journeys import (
    DAY_MS,
    START_MS,
    Journey,
    Step,
    Touch,
    conversions,
    open_paths,
    shapley_by_coalitions,
    store,
    weights,
)
from lead_logs import examples

from leadstream.schemas.settings import Settings
from leadstream.sinks.attribution.answers import attribution
from leadstream.sinks.attribution.chains import CONVERSION, NOTHING, SEPARATOR, START
from leadstream.sinks.attribution.markov import steps_of
from leadstream.sinks.attribution.questions import CONVERSIONS, RULES, Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate

UNITS = 10**9
HOUR_MS = DAY_MS // 24
SPAN_H = 60 * 24


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path_factory.mktemp("attribution"))) as opened:
        migrate(opened)
        yield opened


@st.composite
def journeys(draw: Any) -> list[Journey]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        hours = draw(st.lists(st.integers(0, SPAN_H), unique=True, max_size=8))
        touches = [
            Touch(
                START_MS + hour * HOUR_MS,
                draw(st.sampled_from(["", "direct", "google", "linkedin", "webinar"])),
                draw(st.sampled_from(["page_viewed", "demo_requested", "email_delivered"])),
            )
            for hour in hours
        ]
        # Retold by a replay: the same rows again, or later ones where its clocks were others.
        told = st.tuples(st.sampled_from(touches), st.sampled_from([0, HOUR_MS // 2, 9 * DAY_MS]))
        retold = draw(st.lists(told, max_size=2)) if touches else []
        touches += [replace(touch, at_ms=touch.at_ms + later_ms) for touch, later_ms in retold]
        stages = draw(st.lists(st.sampled_from(["known", *CONVERSIONS, "won"]), max_size=6))
        instants = draw(
            st.lists(st.integers(0, SPAN_H), min_size=len(stages), max_size=len(stages))
        )
        steps, cycle = [], 1
        for hour, stage in zip(sorted(instants), stages, strict=True):
            cycle += draw(st.integers(0, 4)) == 4
            won = stage == "won"
            amount = draw(st.none() | st.decimals("0.01", "99999", places=2)) if won else None
            name = "customer" if won else stage
            steps.append(Step(START_MS + hour * HOUR_MS, name, cycle, amount, "EUR" if won else ""))
        found.append(Journey(f"lead-{number}", tuple(touches), tuple(steps)))
    return found


@examples(20)
@given(
    journeys(),
    st.sampled_from(CONVERSIONS),
    st.integers(1, 61),
    st.sampled_from([0.5, 7.0, 30.0]),
)
def test_each_touch_has_what_its_model_gives_it(
    client: ClickHouse, found: list[Journey], kind: str, lookback_days: int, half_life_days: float
) -> None:
    store(client, found)
    rows = client.query(
        "SELECT model, lead_id, cycle, position, touch_count, channel, credit, revenue "
        f"FROM v_attribution(model = 'all', conversion = '{kind}', "
        f"lookback_days = {lookback_days}, half_life_days = {half_life_days!r}) "
        "ORDER BY model, lead_id, cycle, position"
    ).objects()
    got = defaultdict(list)
    for row in rows:
        got[row["model"], row["lead_id"], row["cycle"]].append(row)
    expected = conversions(found, kind, lookback_days)
    assert len(got) == len(expected) * len(RULES)
    for conversion in expected:
        for model in RULES:
            of_model = got[model, conversion.lead_id, conversion.cycle]
            assert sum(row["credit"] for row in of_model) == 1
            assert sum(row["revenue"] for row in of_model) == conversion.revenue
            shares = weights(conversion, model, half_life_days)
            if not shares:
                assert [row["channel"] for row in of_model] == ["(none)"]
                continue
            assert [row["channel"] for row in of_model] == [
                touch.channel or "(none)" for touch in conversion.touches
            ]
            for row, share in zip(of_model, shares, strict=True):
                # Each is cut to a billionth, and the last has what was cut off.
                within = Fraction(len(shares), UNITS)
                assert abs(Fraction(row["credit"]) - share) <= within, (model, conversion)
                assert row["revenue"] == conversion.revenue * row["credit"]


@examples(15)
@given(journeys(), st.sampled_from(CONVERSIONS), st.integers(1, 61))
def test_shapley_is_that_of_all_coalitions(
    client: ClickHouse, found: list[Journey], kind: str, lookback_days: int
) -> None:
    store(client, found)
    converted = conversions(found, kind, lookback_days)
    paths = [frozenset(t.channel or "(none)" for t in each.touches) for each in converted]
    expected = shapley_by_coalitions([path or frozenset({"(none)"}) for path in paths])
    rows = attribution(client, Question(kind, lookback_days=lookback_days), "shapley")
    assert {row["channel"] for row in rows} == set(expected)
    for row in rows:
        assert float(row["conversions"]) == pytest.approx(float(expected[row["channel"]]))
    assert sum(row["conversions"] for row in rows) == len(converted)
    assert sum(row["revenue"] for row in rows) == sum(each.revenue for each in converted)


@examples(15)
@given(
    journeys(), st.sampled_from(CONVERSIONS), st.sampled_from([1, 2, 3]), st.sampled_from([1, 30])
)
def test_a_chain_has_the_steps_of_all_paths_also_of_those_that_lead_nowhere(
    client: ClickHouse, found: list[Journey], kind: str, order: int, lookback_days: int
) -> None:
    store(client, found)
    converted = conversions(found, kind, lookback_days)
    ends = [(each.touches, CONVERSION) for each in converted if each.touches]
    ends += [(touches, NOTHING) for touches in open_paths(found, kind, lookback_days)]
    expected: Counter[tuple[str, str]] = Counter()
    for touches, end in ends:
        path = [touch.channel or "(none)" for touch in touches]
        states = [SEPARATOR.join(path[n : n + order]) for n in range(max(1, len(path) - order + 1))]
        expected.update(pairwise([START, *states, end]))
    steps = steps_of(client, Question(kind, lookback_days=lookback_days, order=order))
    assert {(origin, target): times for origin, target, times in steps} == expected


@examples(15)
@given(journeys(), st.sampled_from(CONVERSIONS), st.sampled_from([1, 2, 3]))
def test_markov_gives_away_what_there_is(
    client: ClickHouse, found: list[Journey], kind: str, order: int
) -> None:
    store(client, found)
    converted = conversions(found, kind, 90)
    rows = attribution(client, Question(kind, order=order), "markov")
    assert sum((row["conversions"] for row in rows), Decimal()) == len(converted)
    assert sum(row["revenue"] for row in rows) == sum(each.revenue for each in converted)
    assert all(row["conversions"] >= 0 for row in rows)
