"""How far a candidate that runs in the shadow agrees with the active versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from leadstream.sinks.clickhouse import ClickHouse


@dataclass(frozen=True, slots=True)
class ShadowMql:
    """A lead that at least one of both handed over; an instant is None where it did not."""

    lead_id: str
    active_at: datetime | None
    candidate_at: datetime | None
    active_criterion: str
    candidate_criterion: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What became of the leads that a candidate follows."""

    candidate: str
    leads: int
    mqls: tuple[ShadowMql, ...]

    @property
    def both(self) -> list[ShadowMql]:
        return [mql for mql in self.mqls if mql.active_at and mql.candidate_at]

    @property
    def only_active(self) -> list[ShadowMql]:
        return [mql for mql in self.mqls if mql.candidate_at is None]

    @property
    def only_candidate(self) -> list[ShadowMql]:
        return [mql for mql in self.mqls if mql.active_at is None]


def candidates(client: ClickHouse) -> list[str]:
    """Return the versions that have run in the shadow, the latest one first."""
    found = client.query(
        "SELECT model_version FROM shadow_transitions FINAL "
        "GROUP BY model_version ORDER BY max(revision) DESC, model_version"
    )
    return [version for (version,) in found.rows]


def agreement(client: ClickHouse, candidate: str) -> Agreement:
    """Return how far a candidate agrees, leads by id."""
    leads = client.query(
        "SELECT count() FROM v_shadow WHERE candidate = {candidate:String}",
        {"candidate": candidate},
    ).rows[0][0]
    found = client.query(
        "SELECT lead_id, active_at, candidate_at, active_criterion, candidate_criterion "
        "FROM v_shadow WHERE candidate = {candidate:String} "
        "AND (is_active_mql OR is_candidate_mql) ORDER BY lead_id",
        {"candidate": candidate},
    )
    return Agreement(candidate, leads, tuple(ShadowMql(*row) for row in found.rows))
