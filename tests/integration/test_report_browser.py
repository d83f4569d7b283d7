"""The report in a real browser: drawn, silent, offline, readable everywhere, and unimpressed.

The history has hostile names for all that people name, so every test is one of those too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, chromium
from click.testing import CliRunner
from report_history import HOSTILE, History, hostile, store
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from leadstream.infra.cli import cli

CHARTS = (
    "funnel curve models speed policies grades owners hours leaks reasons reps band rules margins"
).split()
TILES = 12
READABLE = 4.5
"""The contrast that WCAG 2 asks of text at level AA."""
LARGE = 3.0
"""The same of large text."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return store(tmp_path_factory.mktemp("report"), leads=900, spelled=hostile)


@pytest.fixture(scope="module")
def page(history: History) -> Path:
    path = history.data_dir / "report.html"
    command = ["report", "-o", str(path), "--data-dir", str(history.data_dir)]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def test_every_chart_is_drawn_without_a_word_and_without_a_request(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    assert browser.run("return document.documentElement.dataset.charts") == "drawn"
    drawn = browser.run(
        "return Object.fromEntries([...document.querySelectorAll('.vega')].map(place =>"
        "[place.id, place.querySelectorAll('svg [class^=mark-] > *').length]))"
    )
    assert drawn.keys() == {
        *(f"chart-{name}" for name in CHARTS), *(f"chart-week-{n}" for n in range(TILES)),
    }  # fmt: skip
    assert all(drawn.values()), drawn
    assert browser.said() == []
    assert {url for url in browser.asked_for() if not url.startswith("data:")} == {page.as_uri()}


def test_hovering_shows_the_figures_of_the_mark(
    browser: Browser, page: Path, history: History
) -> None:
    line = ["known", "engaged", "mql", "sal", "sql", "opportunity", "customer"]
    mqls = sum(
        any(stage in line[2:] for stage in (*state.reached, state.stage))
        for state in history.states
        if state.lead_id in history.counted
    )
    browser.open(page)
    bars = browser.driver.find_elements(By.CSS_SELECTOR, "#chart-funnel .mark-rect.role-mark path")
    assert len(bars) == len(line)
    hover(browser, bars[2])
    shown = tooltip(browser)
    assert shown["Stage"] == "MQL"
    assert shown["Leads"] == f"{mqls:,}"
    assert re.fullmatch(r"\d+\.\d%", shown["Of the stage before"])


def test_a_hostile_name_is_shown_as_it_is_and_does_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("return window.broken") is None
    assert browser.run("return document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.run("return document.scripts.length") == 3
    shown = browser.run("return document.body.innerText")
    for name in HOSTILE:
        assert " ".join(name.split()) in " ".join(shown.split())
    dots = browser.driver.find_elements(By.CSS_SELECTOR, "#chart-models .mark-symbol path")
    hover(browser, dots[0])
    told = tooltip(browser)["Channel"]
    assert any(told.startswith(name.split("\u2028")[0].strip()) for name in HOSTILE), told
    assert browser.run("return document.querySelector('#vg-tooltip-element img')") is None
    assert browser.run("return window.broken") is None


def test_nothing_that_got_into_the_page_could_run_or_call_home(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.broken = 9';"
        "document.body.append(script);"
        "fetch('http://127.0.0.1:9/').catch(() => { window.refused = true })"
    )
    told = " ".join(browser.said())
    assert browser.run("return window.broken") is None
    assert told.count("Content Security Policy") >= 2
    assert not [url for url in browser.asked_for() if url.startswith("http")]


@pytest.mark.parametrize("width", [360, 412, 768])
def test_a_narrow_screen_never_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width, 780)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    beyond = browser.run(
        "return [...document.querySelectorAll('main *')].filter(each => "
        "!each.closest('.scroll, svg, nav, details:not([open])') && "
        "each.getBoundingClientRect().right > innerWidth + 1).map(each => each.className)"
    )
    assert beyond == []
    if width == 360:
        wide = "return document.querySelector('#cohorts .scroll').scrollWidth"
        assert browser.run(wide) > width  # and scrolls in its own box


def test_a_finger_gets_the_figures_as_well(browser: Browser, page: Path) -> None:
    browser.open(page, 360, 780)
    place = browser.run(
        "const bar = document.querySelector('#chart-funnel .mark-rect.role-mark path');"
        "bar.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = bar.getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    browser.tap(*place)
    wait_until(browser, lambda: tooltip(browser).get("Stage") == "Known")
    box = browser.run(
        "const {left, right} = document.querySelector('#vg-tooltip-element')"
        ".getBoundingClientRect(); return [left, right]"
    )
    assert 0 <= box[0] < box[1] <= 360
    browser.tap(place[0], place[1] - 200)
    wait_until(browser, lambda: not tooltip(browser))


def test_it_prints_on_a_few_pages_with_every_chart_whole(browser: Browser, page: Path) -> None:
    browser.open(page)
    printed = browser.printed()
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
    assert 6 <= pages <= 30, pages
    assert len(printed) < 3_000_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_is_readable(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(colour(background)) < 0.1) == dark
    faint = [
        (text, round(found, 2))
        for text, ink, papers, size in browser.run(TEXTS)
        if (found := contrast(ink, papers)) < (LARGE if size >= 24 else READABLE)
    ]
    assert faint == []


def test_charts_follow_the_colour_scheme(browser: Browser, page: Path) -> None:
    fill = (
        "return getComputedStyle(document.querySelector("
        "'#chart-funnel .mark-rect.role-mark path')).fill"
    )
    browser.open(page)
    light = browser.run(fill)
    browser.open(page, dark=True)
    assert light.startswith("rgb")
    assert browser.run(fill) != light


def test_the_page_of_an_empty_database_says_so(browser: Browser, tmp_path: Path) -> None:
    from leadstream.schemas.settings import Settings
    from leadstream.sinks.clickhouse import ClickHouse
    from leadstream.sinks.migrate import migrate

    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
    empty = tmp_path / "empty.html"
    command = ["report", "-o", str(empty), "--data-dir", str(tmp_path)]
    found = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert "the database holds no leads" in found.stdout
    browser.open(empty)
    assert "The database holds no leads." in browser.run("return document.body.innerText")
    assert browser.said() == []


TEXTS = """
const found = [];
for (const each of document.querySelectorAll('body *:not(svg *, script, noscript, style)')) {
  const text = [...each.childNodes].filter(node => node.nodeType === 3)
    .map(node => node.textContent.trim()).join('');
  if (!text || !each.checkVisibility() || each.matches('.skip')) continue;
  const style = getComputedStyle(each), papers = [];
  for (let over = each; over; over = over.parentElement)
    papers.push(getComputedStyle(over).backgroundColor);
  found.push([text.slice(0, 30), style.color, papers, parseFloat(style.fontSize)]);
}
for (const each of document.querySelectorAll('svg text')) {
  const papers = [];
  for (let over = each.closest('.vega'); over; over = over.parentElement)
    papers.push(getComputedStyle(over).backgroundColor);
  if (each.textContent) found.push([each.textContent, getComputedStyle(each).fill, papers, 12]);
}
return found;
"""
"""Every text of the page with its colour, what lies behind it from near to far, and its size."""


def wait_until(browser: Browser, holds: Callable[[], bool]) -> None:
    WebDriverWait(browser.driver, 10).until(lambda _: holds())


def hover(browser: Browser, mark: Any) -> None:
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", mark)
    ActionChains(browser.driver).move_to_element(mark).perform()


def tooltip(browser: Browser) -> dict[str, str]:
    rows: list[list[str]] = browser.run(
        "return [...document.querySelectorAll('#vg-tooltip-element.visible tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {key.rstrip(":"): value for key, value in rows}


def colour(css: str) -> tuple[float, ...]:
    """Red, green, blue, 0 to 255, and opacity."""
    parts = [float(part) for part in re.findall(r"[\d.]+", css)]
    return tuple(parts) if len(parts) == 4 else (*parts, 1.0)


def luminance(rgb: tuple[float, ...]) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in rgb[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(ink: str, papers: list[str]) -> float:
    behind: tuple[float, ...] = (255.0, 255.0, 255.0)
    for paper in reversed(papers):
        *rgb, opacity = colour(paper)
        behind = tuple(
            over * opacity + under * (1 - opacity) for over, under in zip(rgb, behind, strict=True)
        )
    light, dark = sorted((luminance(colour(ink)), luminance(behind)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    known: list[tuple[Any, ...]] = [
        ("rgb(0, 0, 0)", ["rgb(255, 255, 255)"], 21),
        ("rgb(119, 119, 119)", ["rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"], 4.478),
        ("rgb(255, 255, 255)", ["rgba(0, 0, 0, 0.5)"], 3.977),
    ]
    for ink, papers, expected in known:
        assert contrast(ink, papers) == pytest.approx(expected, abs=0.03)
