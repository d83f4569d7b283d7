"""The work directory of a backfill, and the lines that it prints at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadstream.infra.backfill import tellings
from leadstream.infra.backfill.run import LOCK_FILE, WORK_PREFIX, _work_directory
from leadstream.infra.backfill.worker import PAUSES_S, insert_files
from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import Touchpoint
from leadstream.sinks.clickhouse import ClickHouseError
from leadstream.streams.backfill.inputs import UnreadableError
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay


def test_what_a_killed_run_left_goes_and_what_another_run_holds_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{WORK_PREFIX}left"
    left.mkdir()
    (left / LOCK_FILE).touch()
    (left / "000.0.events").write_bytes(b"somebody")
    with _work_directory(tmp_path) as first:
        assert not left.exists()
        assert first.stat().st_mode & 0o077 == 0, "only its owner reads it"
        with _work_directory(tmp_path) as second:
            assert first.exists() and first != second
        assert not second.exists()
    assert not list(tmp_path.iterdir())


def test_a_work_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UnreadableError, match=r"--work-dir .*none cannot be used"),
        _work_directory(tmp_path / "none"),
    ):
        pass


def test_parts_are_merged_in_order_of_time_and_id_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tellings, "_FILES_AT_ONCE", 3)
    events = [
        Touchpoint(
            event_id=f"e{number}",
            event_time=(number - 10) * 10**11,
            type="demo_requested",
            lead_id=f"l{number * 7 % 20}",
        )
        for number in range(20)
    ]
    held = replay(events, load_models(None)).effective.decisions()
    decisions = [decision for decision in held if isinstance(decision, Transition)]
    assert decisions[0].occurred_at < 0
    parts = [tmp_path / f"{number}.told" for number in range(8)]
    for number, part in enumerate(parts):
        tellings.write_sorted(part, reversed(decisions[number::8]))
    expected = [tellings.plain(d, effective=True).encode() + b"\n" for d in decisions]
    assert list(tellings.merged(parts)) == expected
    assert list(tellings.merged([])) == []


class Refusing:
    """A client that refuses the first inserts."""

    def __init__(self, times: int, *, transient: bool) -> None:
        self.left, self.transient = times, transient

    def insert_native(self, *_: object) -> None:
        if self.left:
            self.left -= 1
            raise ClickHouseError("no", 252, transient=self.transient)


def test_an_insert_is_tried_again_where_the_fault_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    file = tmp_path / "rows"
    for times, transient, passes in ((6, True, True), (7, True, False), (1, False, False)):
        file.touch()
        pauses.clear()
        client = Refusing(times, transient=transient)
        if passes:
            insert_files(client, {"sla": file})  # type: ignore[arg-type]
            assert pauses == list(PAUSES_S)
            assert not file.exists()
        else:
            with pytest.raises(ClickHouseError):
                insert_files(client, {"sla": file})  # type: ignore[arg-type]
