"""A history as the generator and the processors tell it, as data frames and in a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from leadstream.infra.embedded.generator import generate, lead_id_of
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay, replay

SEED = 11
END = datetime(2026, 6, 30, tzinfo=UTC)
DAY_MS = 86_400_000


@dataclass(frozen=True)
class History:
    """What holds after a replay; times are epoch milliseconds, absent values None.

    Attributes:
        states: of the leads that were not merged into others.
        merged: the leads that were.
        as_of: the latest instant of all.
    """

    data_dir: Path
    states: pd.DataFrame
    transitions: pd.DataFrame
    clocks: pd.DataFrame
    leaks: pd.DataFrame
    merged: set[str]
    as_of: int

    def open(self) -> ClickHouse:
        client = ClickHouse(Settings(data_dir=self.data_dir), read_only=True)
        client.require_database()
        return client


def make_history(data_dir: Path, leads: int, days: int) -> History:
    """Replay generated leads, two pairs of whom are merged at the end, into a database."""
    at = int(END.timestamp() * 1000)
    merges = [
        CrmEvent(event_id=f"merge-{n}", event_time=at - 1, lead_id=lead_id_of(SEED, 2 * n),
                 type="lead_merged", merged_lead_id=lead_id_of(SEED, 2 * n + 1))
        for n in range(2)
    ]  # fmt: skip
    events: chain[Touchpoint | CrmEvent] = chain(generate(leads, SEED, END, days), merges)
    return store(data_dir, replay(events, load_models(None)))


def store(data_dir: Path, run: Replay) -> History:
    """Put what holds after a replay into a database, and into frames."""
    decisions, states = run.effective.decisions(), list(run.states())
    with ClickHouse(Settings(data_dir=data_dir)) as client:
        migrate(client)
        load(client, decisions)
        load(client, states)
    merged = {s.lead_id for s in states if s.stage == "merged" or s.merged_into}

    def frame(kind: type, *, whole: bool = False) -> pd.DataFrame:
        found = [d for d in decisions if isinstance(d, kind)]
        return pd.DataFrame(
            [fields(d) for d in found if whole or d.lead_id not in merged], dtype=object
        )

    transitions = frame(Transition).sort_values(["lead_id", "seq"])
    return History(
        data_dir,
        pd.DataFrame([fields(s) for s in states if s.lead_id not in merged], dtype=object),
        transitions,
        _latest(frame(SlaEvent, whole=True), ["policy", "lead_id", "clock"]),
        _latest(frame(LeakEvent), ["lead_id", "leak", "cycle"]),
        merged,
        max(max(s.last_event_at, s.score_as_of) for s in states),
    )


def _latest(events: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return the last event of each clock or leak, as the tables keep it."""
    if events.empty:
        return events
    return events.sort_values("revision").groupby(key, as_index=False).tail(1)


def fields(struct: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a decision or state, the grade among them."""
    plain = msgspec.structs.asdict(struct)
    score = plain.pop("score", None)
    return plain | ({"grade": score.grade} if score is not None else {})
