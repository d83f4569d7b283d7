"""The report as HTML: whole, escaped, the same every time, and true to the history."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_history import HOSTILE, History, hostile, store

from leadstream.infra.report.facts import Asked, Facts, gather
from leadstream.infra.report.glossary import TERMS
from leadstream.infra.report.page import render
from leadstream.infra.report.report import report_of
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate

LIBRARY = "window.vegaEmbed = async () => { '</script><!--' };"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What is on a page: its elements in order, each with its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text: list[str] = []
        self.elements.append((tag, dict(attrs), text))
        if tag not in VOID:
            self._open.append((tag, text))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        for _, text in self._open:
            text.append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return [text for _, text in self.all(tag)]

    @property
    def charts(self) -> dict[str, Any]:
        (data,) = (text for attrs, text in self.all("script") if attrs.get("id") == "charts")
        found: dict[str, Any] = json.loads(data)
        return found


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return store(tmp_path_factory.mktemp("page"), leads=600, spelled=hostile)


@pytest.fixture(scope="module")
def facts(history: History) -> Facts:
    found = asked(history.data_dir)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def html(facts: Facts) -> str:
    return render(report_of(facts), "leads", LIBRARY)


def asked(data_dir: Path) -> Facts | None:
    with ClickHouse(Settings(data_dir=data_dir), read_only=True) as client:
        client.require_database()
        return gather(client, Asked(weeks=6), lambda _: None)


def test_the_same_data_gives_the_same_page(history: History, html: str) -> None:
    again = asked(history.data_dir)
    assert again is not None
    assert render(report_of(again), "leads", LIBRARY) == html


def test_every_tag_is_closed_and_every_id_is_there_once(html: str) -> None:
    page = Page(html)
    ids = Counter(str(attrs["id"]) for _, attrs, _ in page.elements if "id" in attrs)
    assert [name for name, times in ids.items() if times > 1] == []
    targets = {str(attrs["href"])[1:] for attrs, _ in page.all("a")}
    assert targets <= ids.keys()
    labelled = {str(a["aria-labelledby"]) for _, a, _ in page.elements if "aria-labelledby" in a}
    assert labelled <= ids.keys()


def test_headings_go_down_one_level_at_a_time_from_a_single_first(html: str) -> None:
    levels = [int(tag[1]) for tag, _, _ in Page(html).elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_chart_has_its_place_its_words_and_its_table(html: str) -> None:
    page = Page(html)
    places = {a["id"]: a for _, a, _ in page.elements if str(a.get("id")).startswith("chart-")}
    assert places.keys() == {f"chart-{name}" for name in page.charts}
    assert len(places) > 20
    for attrs in places.values():
        assert attrs["role"] == "img"
        assert attrs["aria-label"]
    assert len(page.all("details")) == sum(not name.startswith("week-") for name in page.charts) + 1
    assert {attrs.get("lang") for attrs, _ in page.all("html")} == {"en"}


def test_hostile_names_are_text_and_nothing_else(html: str) -> None:
    page = Page(html)
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {"img", "iframe", "object", "embed", "form", "base"}
    assert [attrs.get("type") for attrs, _ in page.all("script")] == [
        "application/json", None, None,
    ]  # fmt: skip
    assert not [name for _, attrs, _ in page.elements for name in attrs if name.startswith("on")]
    shown = " ".join(page.texts("main"))
    for name in HOSTILE:
        assert name in shown
    assert "49" not in "".join(re.findall(r"\{\{ 7 \* 7 \}\}|raw", shown))  # no template ran
    drawn = json.dumps(page.charts, ensure_ascii=False)
    assert any(json.dumps(name, ensure_ascii=False)[1:-1] in drawn for name in HOSTILE)


def test_hostile_names_stand_nowhere_that_becomes_an_expression(html: str) -> None:
    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                # Data and domains are values; all else of a chart is ours.
                if key not in ("values", "domain"):
                    walk(inner, f"{path}.{key}")
        elif isinstance(value, list):
            for inner in value:
                walk(inner, path)
        elif isinstance(value, str):
            assert not any(name in value for name in HOSTILE), path

    for name, spec in Page(html).charts.items():
        walk(spec, name)


def test_the_data_of_charts_cannot_end_its_element(html: str) -> None:
    data = html.partition('id="charts">')[2].partition("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)


def test_the_page_may_run_its_two_scripts_and_may_load_nothing(html: str) -> None:
    page = Page(html)
    (policy,) = (a["content"] for a, _ in page.all("meta") if "http-equiv" in a)
    assert policy is not None
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    }
    assert set(directives["script-src"].split()) == hashes
    assert len(hashes) == 2
    loaded = [a for _, a, _ in page.elements if {"src", "srcset", "data", "action"} & a.keys()]
    assert loaded == []
    linked = [str(a["href"]) for _, a, _ in page.elements if "href" in a]
    assert all(href.startswith("#") or href == "data:," for href in linked)
    assert "@import" not in html
    assert "url(" not in html


def test_the_funnel_is_that_of_the_history(history: History, html: str) -> None:
    line = ("known", "engaged", "mql", "sal", "sql", "opportunity", "customer")
    furthest = [
        max(line.index(stage) for stage in (*s.reached, s.stage) if stage in line)
        for s in history.states
        if s.lead_id in history.counted and any(x in line for x in (*s.reached, s.stage))
    ]
    drawn = Page(html).charts["funnel"]["data"]["values"]
    assert [bar["leads"] for bar in drawn] == [
        sum(place >= at for place in furthest) for at in range(len(line))
    ]
    assert drawn[0]["leads"] > 300


def test_the_open_leaks_are_those_of_the_history(history: History, facts: Facts) -> None:
    latest: dict[tuple[str, str, int], Any] = {}
    for decision in history.decisions:
        if type(decision).__name__ == "LeakEvent" and decision.lead_id in history.counted:
            key = (decision.lead_id, decision.leak, decision.cycle)
            if key not in latest or decision.event == "resolved":
                latest[key] = decision
    still_open = [each for each in latest.values() if each.event == "opened"]
    expected = Counter(each.leak for each in still_open)
    assert {each.leak: each.open for each in facts.handoffs.at_stake} == expected
    for each in facts.handoffs.at_stake:
        opened = [leak.opened_at for leak in still_open if leak.leak == each.leak]
        assert each.oldest_h == pytest.approx(
            (history.latest_ms - min(opened)) / 3_600_000, abs=0.06
        )
        assert sum(each.ages) == each.open == sum(count for _, count in each.owners)
        week = 7 * 86_400_000
        younger = sum(history.latest_ms - at < week for at in opened)
        assert abs(sum(each.ages[:3]) - younger) <= 1  # hours are rounded to a tenth


def test_the_tables_of_the_page_hold_what_the_charts_draw(html: str) -> None:
    page = Page(html)
    shown = " ".join(page.texts("table"))
    for bar in page.charts["funnel"]["data"]["values"]:
        assert f"{bar['leads']:,}" in shown
    for name in ("policies", "owners"):
        for part in page.charts[name]["data"]["values"]:
            assert str(part["clocks"]) in shown


def test_an_empty_database_is_told_of_in_a_sentence(tmp_path: Path) -> None:
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
    assert asked(tmp_path) is None
    html = render(None, "leads", LIBRARY)
    page = Page(html)
    assert "The database holds no leads." in " ".join(page.texts("main"))
    assert page.all("script") == []
    assert len(html) < 20_000


def test_a_database_with_a_single_lead_draws_no_empty_charts(tmp_path: Path) -> None:
    visit = Touchpoint(
        event_id="1", event_time=1_780_000_000_000, lead_id="a", type="form_submitted"
    )
    store(tmp_path, events=[visit])
    found = asked(tmp_path)
    assert found is not None
    page = Page(render(report_of(found), "leads", LIBRARY))
    for name, spec in page.charts.items():
        assert spec["data"]["values"], name
    told = " ".join(page.texts("main"))
    for sentence in (
        "Of 1 known lead 0 became MQLs, 0 SQLs and 0 customers.",
        "There is no win yet to attribute.",
        "There is no win yet, so no path leads to one.",
        "No clock has ended yet, so nothing tells how soon sales answers.",
        "No deadline has passed yet.",
        "No leak was ever found.",
        "Sales has turned no lead down yet.",
        "No rep has been handed an MQL yet.",
        "The model has handed nothing over yet.",
    ):
        assert sentence in told


def test_terms_are_told_once_each(html: str) -> None:
    page = Page(html)
    assert page.texts("dt") == [term for term, _ in TERMS]
    assert len(set(page.texts("dt"))) == len(TERMS)
