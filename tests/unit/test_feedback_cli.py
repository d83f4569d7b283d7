"""`leadstream reasons`, `rules` and `reps` against a replay, counted hand-over by hand-over."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from handovers import HandOver, hand_overs, kind_of, named, turn_downs

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.decisions import Transition
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import CONVERSIONS
from leadstream.sinks.feedback.weights import answered
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.velocity.rates import rate
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

STAGE_OF = {"sal": "sal", "sql": "sql", "won": "customer"}
HOUR_MS = 3_600_000
MIDDLE = datetime(2026, 3, 15, tzinfo=UTC)


@dataclass(frozen=True)
class History:
    data_dir: Path
    handed: list[HandOver]
    turned: list[tuple[Transition, Transition | None]]
    sources: dict[str, str]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    run = Replay(load_models(None))
    end = datetime(2026, 6, 30, tzinfo=UTC)
    events = [
        accepted
        for event in generate(leads=900, seed=23, end=end, days=200)
        for accepted in run.feed(event)[0]
    ]
    run.finish()
    decisions, states = run.effective.decisions(), list(run.states())
    path = tmp_path_factory.mktemp("feedback")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        for _ in range(2):  # a replay that is loaded again changes no answer
            load(client, chain(events, decisions, states))
    handed = hand_overs(events, decisions, states)
    assert len(handed) > 120
    assert {each.outcome for each in handed} == {"accepted", "turned_down", "procedural", "open"}
    assert any(each.decision.cycle > 1 for each in handed)
    sources = {state.lead_id: state.source or "(none)" for state in states}
    return History(path, handed, turn_downs(decisions, states), sources)


def invoked(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, [*arguments, "--data-dir", str(data_dir)], catch_exceptions=False
    )


def asked(data_dir: Path, *arguments: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        invoked(data_dir, *arguments, "--format", "json").stdout
    )
    return rows


def query(data_dir: Path, sql: str) -> list[dict[str, Any]]:
    with ClickHouse(Settings(data_dir=data_dir), read_only=True) as client:
        client.require_database()
        return client.query(sql).objects()


def ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def test_a_hand_over_tells_what_became_of_it(history: History) -> None:
    rows = {str(row["id"]): row for row in query(history.data_dir, "SELECT * FROM v_handovers")}
    assert len(rows) == len(history.handed)
    for each in history.handed:
        row, end = rows[each.decision.id], each.end
        assert {
            "lead_id": row["lead_id"],
            "cycle": row["cycle"],
            "at": ms(row["handed_over_at"]),
            "criterion": row["criterion"],
            "grade": row["grade"],
            "rules": dict(zip(row["rules"], row["points"], strict=True)),
            "source": row["source"],
            "outcome": row["outcome"],
            "accepted_at": ms(row["accepted_at"]),
            "sql_at": ms(row["sql_at"]),
            "won_at": ms(row["won_at"]),
            "ended_at": ms(row["ended_at"]),
            "reason": (row["reason"], row["reason_kind"]),
            "became": (row["became_sal"], row["became_sql"], row["was_won"]),
            "owner": row["owner"],
            "responded_at": ms(row["responded_at"]),
            "activities": row["activities"],
            "response": row["response"],
            "answered_after_s": row["answered_after_s"],
        } == {
            "lead_id": each.decision.lead_id,
            "cycle": each.decision.cycle,
            "at": each.at,
            "criterion": each.decision.criterion,
            "grade": each.decision.score.grade,
            "rules": each.rules,
            "source": each.source,
            "outcome": each.outcome,
            "accepted_at": each.first("sal"),
            "sql_at": each.first("sql"),
            "won_at": each.first("customer"),
            "ended_at": end.occurred_at if end else None,
            "reason": (named(end), kind_of(end)) if end else ("", ""),
            "became": tuple(each.became(stage) for stage in STAGE_OF.values()),
            "owner": each.owner,
            "responded_at": each.responded_at,
            "activities": each.activities,
            "response": each.response,
            "answered_after_s": each.answered_after_s,
        }


def test_a_turn_down_tells_of_the_hand_over_before_it(history: History) -> None:
    rows = {str(row["id"]): row for row in query(history.data_dir, "SELECT * FROM v_turndowns")}
    assert len(rows) == len(history.turned)
    assert any(handed is None for _, handed in history.turned)
    last = {(t.lead_id, t.cycle): t.id for t, _ in history.turned}
    for turned, handed in history.turned:
        row = rows[turned.id]
        assert (row["reason"], row["kind"]) == (named(turned), kind_of(turned))
        assert row["cause"] == turned.cause_type
        assert row["is_last"] == (last[turned.lead_id, turned.cycle] == turned.id)
        assert row["source"] == history.sources[turned.lead_id]
        if handed is None:
            assert (row["handover_id"], row["rules"], row["criterion"]) == (None, [], "")
        else:
            assert str(row["handover_id"]) == handed.id
            assert row["rules"] == [part.rule for part in handed.contributions if part.points]
            assert row["model_version"] == handed.model_version


def grade_of(turned: Transition, handed: Transition | None) -> str:
    return (handed or turned).score.grade


@pytest.mark.parametrize("by", [("source",), ("grade", "owner"), ("rule",), ("campaign", "rule")])
def test_reasons_are_split_by_any_dimensions(history: History, by: tuple[str, ...]) -> None:
    expected = Counter[tuple[str, ...]]()
    for turned, handed in history.turned:
        parts = [p.rule for p in handed.contributions if p.points] if handed else []
        for rule in (parts or ["(none)"]) if "rule" in by else [""]:
            value = {
                "source": history.sources[turned.lead_id],
                "grade": grade_of(turned, handed),
                "owner": turned.owner or "(none)",
                "campaign": turned.campaign or "(none)",
                "rule": rule,
            }
            expected[*(value[name] for name in by), turned.to_stage, named(turned)] += 1
    arguments = chain.from_iterable(("--by", name) for name in by)
    rows = asked(history.data_dir, "reasons", *arguments)
    found = {(*(row[name] for name in by), row["to_stage"], row["reason"]): row for row in rows}
    assert {key: row["transitions"] for key, row in found.items()} == expected
    whole, quality = Counter[Any](), Counter[Any]()
    for row in rows:
        key = tuple(row[name] for name in by)
        whole[key] += row["transitions"]
        quality[key] += 0 if row["kind"] == "procedural" else row["transitions"]
    for row in rows:
        key = tuple(row[name] for name in by)
        assert row["share"] == row["transitions"] / whole[key]
        if row["kind"] == "procedural":
            assert row["quality_share"] is None
        else:
            assert row["quality_share"] == row["transitions"] / quality[key]


def test_asking_by_none_splits_nothing(history: History) -> None:
    rows = asked(history.data_dir, "reasons", "--by", "none")
    assert rows == asked(history.data_dir, "reasons")
    assert "channel" not in rows[0]


def rule_figures(handed: Iterable[HandOver]) -> tuple[Counter[str], int, int]:
    """Return outcomes, and the accepted and the answered among them."""
    outcomes = Counter(each.outcome for each in handed)
    return outcomes, outcomes["accepted"], outcomes["accepted"] + outcomes["turned_down"]


@pytest.mark.parametrize("since", [None, MIDDLE])
def test_rules_have_the_lift_of_the_hand_overs_with_them(
    history: History, since: datetime | None
) -> None:
    arguments = ("--from", since.isoformat()) if since else ()
    rows = asked(history.data_dir, "rules", *arguments)
    handed = [each for each in history.handed if since is None or each.at >= (ms(since) or 0)]
    assert {row["rule"] for row in rows} == set().union(*(each.rules for each in handed))
    assert [row["handovers"] for row in rows] == sorted(
        (row["handovers"] for row in rows), reverse=True
    )
    for row in rows:
        rule = row["rule"]
        having = [each for each in handed if rule in each.rules]
        others = [each for each in handed if rule not in each.rules]
        outcomes, accepted, told = rule_figures(having)
        _, accepted_without, told_without = rule_figures(others)
        for outcome in ("accepted", "turned_down", "procedural", "open"):
            assert row[outcome] == outcomes[outcome], (rule, outcome)
        assert row["handovers"] == len(having)
        assert row["without_handovers"] == len(others)
        assert row["mean_points"] == pytest.approx(np.mean([each.rules[rule] for each in having]))
        assert row["acceptance"] == (accepted / told if told else None)
        without = accepted_without / told_without
        assert row["without"] == pytest.approx(without)
        if told:
            assert row["lift"] == pytest.approx(accepted / told / without)
            assert row["lift_low"] <= row["lift"] <= (row["lift_high"] or np.inf)
            found = rate(accepted, told)
            assert (row["acceptance_low"], row["acceptance_high"]) == (found.low, found.high)
        for name, stage in (("to_sql", "sql"), ("to_won", "customer")):
            became = [b for each in having if (b := each.became(stage)) is not None]
            assert row[name] == (pytest.approx(np.mean(became)) if became else None)


def test_a_version_that_handed_nothing_over_is_refused_with_those_that_did(
    history: History,
) -> None:
    found = CliRunner().invoke(
        cli, ["rules", "--model-version", "2020-01", "--data-dir", str(history.data_dir)]
    )
    assert found.exit_code == 1
    assert '"2020-01" has handed nothing over; those that have are 2026-01' in found.stderr


def test_weights_stand_beside_the_points_of_the_model(history: History) -> None:
    rows = asked(history.data_dir, "rules", "--weights")
    weighed = [row for row in rows if row["weight"] is not None]
    assert len(weighed) > 5
    for row in weighed:
        assert row["deserved_low"] < row["deserved"] < row["deserved_high"]
    known = [each for each in history.handed if each.outcome in ("accepted", "turned_down")]
    times = {row["rule"]: sum(row["rule"] in each.rules for each in known) for row in weighed}
    # As many points are dealt out as the model gave.
    paid = sum(
        abs(
            np.mean([each.rules[row["rule"]] for each in known if row["rule"] in each.rules])
            * times[row["rule"]]
        )
        for row in weighed
    )
    assert sum(abs(row["deserved"]) * times[row["rule"]] for row in weighed) == pytest.approx(paid)
    assert "deserved low" in invoked(history.data_dir, "rules", "--weights").stdout


def test_how_to_weigh_is_no_question_without_weights(history: History) -> None:
    found = CliRunner().invoke(
        cli, ["rules", "--weigh", "points", "--data-dir", str(history.data_dir)]
    )
    assert found.exit_code == 2
    assert "--weigh says how --weights are found: give both" in found.stderr


def test_the_latest_answers_are_weighed(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadstream.sinks.feedback.weights.MOST_WEIGHED", 40)
    with ClickHouse(Settings(data_dir=history.data_dir), read_only=True) as client:
        client.require_database()
        found = answered(client, "2026-01")
    known = [each for each in history.handed if each.outcome in ("accepted", "turned_down")]
    latest = sorted(known, key=lambda each: each.at, reverse=True)[:40]
    assert list(found.accepted) == [each.outcome == "accepted" for each in latest]
    assert found.criteria == tuple(each.decision.criterion for each in latest)
    for given, each in zip(found.points, latest, strict=True):
        assert {r: x for r, x in zip(found.rules, given, strict=True) if x} == each.rules


def by_owner(handed: Iterable[HandOver]) -> dict[str, list[HandOver]]:
    found: dict[str, list[HandOver]] = defaultdict(list)
    for each in handed:
        found[each.owner].append(each)
    return found


def is_early(each: HandOver, hours: int, few: int) -> bool:
    assert each.end is not None
    return each.activities < few or each.end.occurred_at - each.at < hours * HOUR_MS


@pytest.mark.parametrize(("hours", "few"), [(24, 2), (72, 3)])
def test_reps_are_told_by_how_they_work_what_they_got(
    history: History, hours: int, few: int
) -> None:
    rows = asked(history.data_dir, "reps", "--early", str(hours), "--few", str(few))
    owners = by_owner(history.handed)
    assert len(rows) == len(owners) > 8
    assert "(none)" in owners
    for row in rows:
        mine = owners[row["owner"]]
        assert row["leads"] == len(mine)
        assert row["grades"] == Counter(each.decision.score.grade for each in mine)
        responses = Counter(each.response for each in mine)
        took = [each.answered_after_s for each in mine if each.response in ("met", "met_late")]
        ended = len(took) + responses["breached"]
        assert row["never_answered"] == responses["breached"]
        assert row["in_time"] == (responses["met"] / ended if ended else None)
        for name, level in (("median_response_s", 0.5), ("p90_response_s", 0.9)):
            expected = pytest.approx(np.quantile(took, level)) if took else None
            assert row[name] == expected
        decided = [each for each in mine if each.outcome in ("accepted", "turned_down")]
        logged = [each.activities for each in decided]
        assert row["median_activities"] == (np.median(logged) if logged else None)
        assert row["few"] == sum(count < few for count in logged)
        given_up = [
            each
            for each in mine
            if each.end is not None
            and each.first("sql") is None
            and kind_of(each.end) not in ("procedural", "permanent")
        ]
        assert row["given_up"] == len(given_up)
        assert row["early"] == sum(is_early(each, hours, few) for each in given_up)


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_conversions_are_adjusted_for_the_mix_of_grades(history: History, conversion: str) -> None:
    stage = STAGE_OF[conversion]
    known = [each for each in history.handed if each.became(stage) is not None]
    of_reps = [each for each in known if each.owner != "(none)"]
    by_grade: dict[str, list[bool | None]] = defaultdict(list)
    for each in of_reps:
        by_grade[each.decision.score.grade].append(each.became(stage))
    rate_of = {grade: np.mean(became) for grade, became in by_grade.items()}
    whole = np.mean([each.became(stage) for each in of_reps])
    rows = asked(history.data_dir, "reps")
    for row in rows:
        mine = [each for each in known if each.owner == row["owner"]]
        observed = sum(bool(each.became(stage)) for each in mine)
        assert (row[conversion], row[f"{conversion}_decided"]) == (observed, len(mine))
        if row["owner"] == "(none)":
            assert row[f"{conversion}_adjusted"] is None
            continue
        expected = sum(rate_of[each.decision.score.grade] for each in mine)
        assert row[f"expected_{conversion}"] == pytest.approx(expected)
        assert row[f"{conversion}_adjusted"] == pytest.approx(min(1.0, observed / expected * whole))
        low, high = row[f"{conversion}_adjusted_low"], row[f"{conversion}_adjusted_high"]
        assert low <= row[f"{conversion}_adjusted"] <= high
        if row[f"{conversion}_standing"] in ("better", "worse"):
            assert not low <= whole <= high
    # What all reps have is what was expected of all.
    told = [row for row in rows if row["owner"] != "(none)"]
    total = sum(row[conversion] for row in told)
    assert sum(row[f"expected_{conversion}"] for row in told) == pytest.approx(total)


def test_the_contract_view_is_of_all_times(history: History) -> None:
    rows = {row["owner"]: row for row in asked(history.data_dir, "reps")}
    found = query(history.data_dir, "SELECT * FROM v_rep_performance")
    assert len(found) == len(rows)
    for row in found:
        assert row.items() <= rows[row["owner"]].items()


def test_a_period_is_of_the_hand_overs(history: History) -> None:
    day = f"{MIDDLE:%Y-%m-%d}"
    before = asked(history.data_dir, "reps", "--to", day)
    after = asked(history.data_dir, "reps", "--from", day)
    expected = sum(each.at < (ms(MIDDLE) or 0) for each in history.handed)
    assert sum(row["leads"] for row in before) == expected
    assert sum(row["leads"] for row in after) == len(history.handed) - expected


def test_tables_show_shares_in_percent_and_grades_in_words(history: History) -> None:
    table = invoked(history.data_dir, "reps").stdout
    assert re.search(r"A \d+, B \d+", table)
    assert "%" in table
    assert "sql adjusted" in invoked(history.data_dir, "reps", "--conversion", "sql").stdout


def blocks(language: str) -> list[str]:
    page = Path(__file__).parents[2] / "infra/docs/feedback.md"
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.S)


@pytest.mark.parametrize(
    "line",
    [
        line.split("#")[0]
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("leadstream")
    ],
)
def test_the_commands_of_the_page_run(history: History, line: str) -> None:
    found = invoked(history.data_dir, *shlex.split(line)[1:])
    assert found.exit_code == 0, found.stderr
    assert found.stdout


@pytest.mark.parametrize("sql", blocks("sql"))
def test_the_queries_of_the_page_run(history: History, sql: str) -> None:
    assert query(history.data_dir, sql)


ANSWER: list[Callable[[Path], Any]] = [
    lambda path: asked(path, "rules"),
    lambda path: asked(path, "rules", "--weights"),
    lambda path: asked(path, "reps"),
    lambda path: asked(path, "reasons", "--by", "rule"),
]


@pytest.mark.parametrize("answer", ANSWER)
def test_of_nothing_nothing_is_told(tmp_path: Path, answer: Callable[[Path], Any]) -> None:
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
    assert answer(tmp_path) == []
