"""New versions for a running worker: what is taken, what is refused, and how it is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from small_models import DAY_MS, MONDAY_MS
from small_models import models as parsed

from leadstream.schemas.codec import iso
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.model_watch import ModelWatch
from leadstream.streams.models import fingerprint, load_models

NOW = MONDAY_MS
PAST, SOON, LATER = (iso(NOW + days * DAY_MS) for days in (-7, 1, 2))


def text(version: str, active_from: str, points: int = 10) -> str:
    return f"""# a model
version: '{version}'
active_from: {active_from}
engagement: {{rules: [{{name: page, on: page_viewed, points: {points}}}]}}
"""


class Models:
    """A directory of versions, watched."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("one", text("one", PAST))
        self.watch = ModelWatch(directory, load_models(directory))

    def write(self, name: str, content: str) -> None:
        (self.directory / f"{name}.yaml").write_text(content, "utf-8")

    def taken(self, now: int = NOW) -> list[str] | None:
        found = self.watch.poll(now)
        return None if found is None else [model.version for model in found.versions]


@pytest.fixture
def models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Models:
    caplog.set_level(logging.INFO)
    return Models(tmp_path)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def test_nothing_new_says_nothing(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    assert models.taken() is None
    assert models.taken() is None
    assert caplog.records == []


def test_a_version_of_the_future_is_taken_at_once(models: Models) -> None:
    models.write("two", text("two", SOON))
    assert models.taken() == ["one", "two"]
    assert models.taken() is None


def test_a_broken_file_is_refused_once_with_file_line_and_mend(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.write("two", text("two", SOON).replace("points", "pints"))
    assert [models.taken() for _ in range(3)] == [None, None, None]
    (told,) = refusals(caplog)
    assert 'two.yaml:4 rule "page": unknown field "pints"; did you mean "points"?' in told
    assert "the running versions stay (one)" in told
    assert "\n" not in told


def test_it_is_told_again_when_the_file_changes_and_is_still_broken(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.write("two", "version: [")
    models.taken()
    models.write("two", "version: {")
    models.taken()
    assert len(refusals(caplog)) == 2


def test_a_mended_file_is_taken(models: Models) -> None:
    models.write("two", "version: [")
    assert models.taken() is None
    models.write("two", text("two", SOON))
    assert models.taken() == ["one", "two"]


def test_a_version_that_is_active_may_not_change(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.write("one", text("one", PAST, points=99))
    assert models.taken() is None
    (told,) = refusals(caplog)
    assert f'one.yaml:2 version "one" has changed, and it is active since {PAST[:10]}' in told
    assert "make it a version of its own with a later active_from" in told


def test_a_comment_may_change(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    models.write("one", "# signed by both teams\n" + text("one", PAST))
    assert models.taken() is None
    assert refusals(caplog) == []


def test_a_version_that_is_active_may_not_go(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    (models.directory / "one.yaml").rename(models.directory / "two.yaml")
    models.write("two", text("two", SOON))
    assert models.taken() is None
    assert 'version "one" is gone' in refusals(caplog)[0]
    assert "put its file back" in refusals(caplog)[0]


def test_a_version_of_the_past_comes_too_late(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.write("two", text("two", iso(NOW)))
    assert models.taken() is None
    assert "two.yaml:3 version" in refusals(caplog)[0]
    assert "choose an active_from in the future" in refusals(caplog)[0]
    assert models.watch.poll(NOW) is None


def test_a_version_that_waits_may_change_and_go(models: Models) -> None:
    models.write("two", text("two", SOON))
    models.taken()
    models.write("two", text("two", LATER, points=5))
    assert models.taken() == ["one", "two"]
    (models.directory / "two.yaml").unlink()
    assert models.taken() == ["one"]


def test_a_version_that_waited_is_fixed_once_its_time_has_come(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.write("two", text("two", SOON))
    models.taken()
    models.write("two", text("two", SOON, points=5))
    assert models.taken(NOW + DAY_MS) is None
    assert 'version "two" has changed' in refusals(caplog)[0]


def test_the_first_version_judges_before_its_activation_so_nothing_may_come_before_it(
    tmp_path: Path,
) -> None:
    models = Models(tmp_path)
    models.write("one", text("one", LATER))
    models.watch = ModelWatch(tmp_path, load_models(tmp_path))
    models.write("two", text("two", SOON))
    assert models.taken() is None


def test_a_path_that_is_gone_for_a_while_is_told_once(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    file = models.directory / "one.yaml"
    kept = file.read_text("utf-8")
    file.unlink()
    assert [models.taken() for _ in range(3)] == [None, None, None]
    assert len(refusals(caplog)) == 1
    file.write_text(kept, "utf-8")
    assert models.taken() is None
    assert len(refusals(caplog)) == 1


def test_a_path_that_may_not_be_read_is_told_once(
    models: Models, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("leadstream.streams.model_watch.read_model_files", refuse)
    assert [models.taken() for _ in range(3)] == [None, None, None]
    (told,) = refusals(caplog)
    assert "Permission denied" in told


def test_whatever_a_file_makes_the_parsers_raise_the_running_versions_stay(
    models: Models, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("leadstream.streams.model_watch.parse_model_files", fail)
    models.write("two", text("two", SOON))
    assert models.taken() is None
    assert "RecursionError: too deep" in refusals(caplog)[0]


def test_a_fingerprint_is_of_what_a_model_says_not_of_how_it_is_written() -> None:
    said = text("one", PAST)
    same = fingerprint(parsed("# signed\n" + said + "fit: {max: 100}\n"))
    assert fingerprint(parsed(said)) == same
    others = {fingerprint(parsed(other)) for other in (text("one", PAST, 9), text("two", PAST))}
    assert same not in others and len(others) == 2


def test_two_versions_for_one_instant_are_refused_at_load(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / f"{version}.yaml").write_text(text(version, SOON), "utf-8")
    with pytest.raises(ModelError, match=r"one.yaml:3 version .* and so does another"):
        load_models(tmp_path)
