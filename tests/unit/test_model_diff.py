"""`leadstream model diff`: what differs, in the words of who runs revenue operations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leadstream.infra.cli import cli
from leadstream.streams.model_diff import diff_models, duration
from leadstream.streams.models import default_model_path, parse_model

SHIPPED = default_model_path().read_text("utf-8")
BASE = """
version: '1'
engagement:
  groups: {web: 20}
  rules:
    - {name: pricing_page, on: page_viewed, group: web, points: 10, cap: {points: 20, per: 1d}}
criteria:
  mql:
    - {name: asks, hand_raise: true, on: demo_requested}
    - {name: score, when: 'true', threshold: 60, disarm: 45}
routes: [{to: smb}]
sla:
  calendar: {hours: {mon: "09:00-17:00"}}
  policies: [{name: first_response, start: mql, target: {A: 2h, default: 8h}, met_by: call_inbound}]
"""


def told(before: str, after: str) -> list[str]:
    models = [parse_model(text, "m.yaml").source for text in (before, after)]
    return [difference.text for difference in diff_models(*models)]


def changed(old: str, new: str) -> list[str]:
    assert old in BASE
    return told(BASE, BASE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("points: 10", "points: 15", "rule pricing_page: 10 → 15 points"),
        ("per: 1d", "per: 12h", "rule pricing_page: cap per 1 d → 12 h"),
        ("on: page_viewed", "on: [page_viewed, chat_started]",
         "rule pricing_page: on adds chat_started"),
        ("{web: 20}", "{web: 25}", "group web: 20 → 25 points"),
        ("threshold: 60", "threshold: 72.5", "criterion score: threshold 60 → 72.5 points"),
        ("when: 'true'", "when: 'false'", "criterion score: when `true` → `false`"),
        ("hand_raise: true, ", "", "criterion asks: hand raise yes → no"),
        ("A: 2h", "A: 1h", "first_response: grade A 2 h → 1 h"),
        ("A: 2h, ", "", "first_response: grade A: gone"),
        ("A: 2h", "A: 2h, B: 90m", "first_response: grade B: new (90 min)"),
        ('mon: "09:00-17:00"', 'mon: "10:00-17:30"',
         "hours mon: adds 10:00-17:30, drops 09:00-17:00"),
        ("calendar: {", "calendar: {timezone: Asia/Tokyo, ",
         "sla calendar timezone: UTC → Asia/Tokyo"),
        ("{to: smb}", "{to: emea}, {to: smb}", "route emea: new"),
        (", disarm: 45", "", "criterion score: disarm 45 → none"),
        ("version: '1'", "version: '2'", "version: 1 → 2"),
        ("routes:", "max_score: 150\nroutes:", "max score: 200 → 150 points"),
        ("routes:", "reasons: {no_budget: {kind: timing, cooldown: 60d}}\nroutes:",
         "reason no_budget: cooldown 90 d → 60 d"),
        ("routes:", "reasons: {moved_on: {kind: fit}}\nroutes:", "reason moved_on: new (kind fit)"),
        ("routes:", 'reason_wordings: {"Not now": not_ready}\nroutes:',
         "reason wording Not now: new (not_ready)"),
    ],
)  # fmt: skip
def test_one_change_is_told_in_one_line(old: str, new: str, words: str) -> None:
    assert changed(old, new) == [words]


def test_a_rule_that_comes_or_goes_is_told_once_with_what_it_says() -> None:
    rule = (
        "    - {name: chat, on: chat_started, group: web, points: 8, cap: {points: 8, per: 1d}}\n"
    )
    more = BASE.replace("criteria:", rule + "criteria:")
    assert told(BASE, more) == [
        "rule chat: new (on chat_started, 8 points, group web, cap 8 points, per 1 d)"
    ]
    assert told(more, BASE) == ["rule chat: gone"]


def test_the_order_of_criteria_matters_because_the_first_decides() -> None:
    asks, score = (line for line in BASE.splitlines() if "{name: asks" in line or "disarm" in line)
    assert told(BASE, BASE.replace(f"{asks}\n{score}", f"{score}\n{asks}")) == [
        "criteria mql: order asks, score → score, asks"
    ]


def test_a_decay_of_another_kind_is_told_as_both() -> None:
    before = BASE.replace("points: 10,", "points: 10, decay: {half_life_days: 14},")
    after = BASE.replace("points: 10,", "points: 10, decay: {points_per_day: 0.5},")
    assert told(before, after) == [
        "rule pricing_page: decay half life days 14 → none",
        "rule pricing_page: decay points per day 0.5 (new)",
    ]
    assert told(BASE, after) == ["rule pricing_page: decay points per day 0.5 (new)"]


def test_two_routes_to_one_place_are_told_apart() -> None:
    before = BASE.replace("{to: smb}", "{to: smb, when: 'true'}, {to: smb, when: 'true'}")
    after = BASE.replace("{to: smb}", "{to: smb, when: 'true'}, {to: smb, when: 'false'}")
    assert told(before, after) == ["route smb (2): when `true` → `false`"]


def test_a_model_does_not_differ_from_itself() -> None:
    assert told(BASE, BASE) == told(SHIPPED, SHIPPED) == []


def test_every_rule_of_the_shipped_model_that_changes_is_told() -> None:
    numbers = re.finditer(r"(?<=[\s{]points: )-?[0-9.]+", SHIPPED)
    places = [n for n in numbers if "#" not in SHIPPED[: n.start()].rpartition("\n")[2]]
    assert len(places) > 30
    for place in places:
        text = f"{SHIPPED[: place.start()]}0.125{SHIPPED[place.end() :]}"
        assert len(told(SHIPPED, text)) == 1, place


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (5400, "90 min"), (7200, "2 h"), (86_400, "1 d"),
     (90_000, "25 h"), (157_680_000, "1825 d")],
)  # fmt: skip
def test_durations_are_shown_in_the_largest_unit_that_divides_them(
    seconds: int, shown: str
) -> None:
    assert duration(seconds) == shown


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["model", "diff", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(BASE, "utf-8")
    after.write_text(BASE.replace("A: 2h", "A: 1h").replace("points: 10", "points: 15"), "utf-8")
    return before, after


def test_the_command_prints_a_line_each(files: tuple[Path, Path]) -> None:
    result = run(*files)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "rule pricing_page: 10 → 15 points",
        "first_response: grade A 2 h → 1 h",
    ]


def test_the_command_gives_places_and_values_as_json(files: tuple[Path, Path]) -> None:
    first, _ = json.loads(run(*files, "--format", "json").stdout)
    assert first == {
        "path": "engagement.rules.pricing_page.points",
        "kind": "changed",
        "text": "rule pricing_page: 10 → 15 points",
        "before": "10",
        "after": "15",
    }


def test_the_command_says_that_nothing_differs() -> None:
    result = run("shipped", default_model_path())
    assert (result.exit_code, result.stdout) == (0, "the models do not differ\n")


def test_a_broken_model_is_refused_with_its_faults(files: tuple[Path, Path]) -> None:
    before, after = files
    after.write_text(BASE.replace("points: 10", "pints: 10"), "utf-8")
    result = run(before, after)
    assert result.exit_code == 1
    assert 'after.yaml:6 rule "pricing_page": unknown field "pints"; did you mean' in result.stderr
