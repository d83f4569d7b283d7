"""What happened in each week up to the latest instant of the data: counts, rates, times, money.

A week is seven days that end at that instant, so that all of them are whole, and alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.rates import Rate, rate

WEEK: Final = timedelta(days=7)
_WEEK_MS: Final = WEEK // timedelta(milliseconds=1)

STAGES: Final = ("known", "mql", "sal", "sql", "opportunity", "customer")
COUNTED: Final = "lead_id NOT IN (SELECT lead_id FROM v_absorbed)"
"""Leads that another one absorbed do not count."""
LATEST: Final = "(SELECT as_of FROM v_as_of)"


@dataclass(frozen=True, slots=True)
class Span:
    """From the first to the latest instant that the data knows of; both aware."""

    first: datetime
    latest: datetime

    def weeks_ago(self, weeks: int) -> datetime:
        """Return the instant at which the week so many weeks ago ended."""
        return self.latest - weeks * WEEK


@dataclass(frozen=True, slots=True)
class Weekly:
    """A figure of each week, the latest week last."""

    counts: dict[str, list[int]]
    """How many leads reached each of `STAGES`; `known` once a lead, the others once a cycle."""
    decided: list[Rate]
    """Hand-overs that sales decided on: how many became SQLs."""
    answered: list[Rate]
    """Hand-overs that sales answered with yes or no: how many were accepted."""
    in_time: list[Rate]
    """Clocks of a policy that were answered or fell due: how many were met in time."""
    responses_s: list[list[int]]
    """Business seconds until each answer that a policy asks for."""
    revenue: list[Decimal]
    leaks_opened: list[int]
    leaks_open: list[int]
    """How many leaks were open at the end of the week."""


def span_of(client: ClickHouse) -> Span | None:
    """Return from when to when the data goes; None of an empty database."""
    first, latest, leads = client.query(
        "SELECT min(first_event_at), max(greatest(last_event_at, score_as_of)), count() "
        "FROM lead_state FINAL"
    ).rows[0]
    return Span(first, latest) if leads else None


def weekly(client: ClickHouse, weeks: int, policy: str, currency: str) -> Weekly:
    """Return the figures of the last weeks.

    Args:
        policy: whose clocks tell `in_time` and `responses_s`.
        currency: of `revenue`; other wins count without theirs.
    """
    return Weekly(
        counts=_counts(client, weeks),
        decided=_shares(client, weeks, "became_sql", "sql_at"),
        answered=_shares(client, weeks, "became_sal", "accepted_at"),
        in_time=_in_time(client, weeks, policy),
        responses_s=_responses(client, weeks, policy),
        revenue=_revenue(client, weeks, currency),
        leaks_opened=_leaks_opened(client, weeks),
        leaks_open=_leaks_open(client, weeks),
    )


def reached_by(client: ClickHouse, stage: str, by: str) -> list[dict[str, Any]]:
    """Return per value of a dimension how many leads reached a stage this week and the one before.

    Args:
        by: a column of lead_state: channel, source or campaign of the first touchpoint.
    """
    at = "reached[{stage:String}]"
    return client.query(
        f"SELECT if({by} = '', '(none)', {by}) AS value, "  # noqa: S608
        f"countIf({_ago(at)} = 0) AS this_week, countIf({_ago(at)} = 1) AS week_before "
        f"FROM lead_state FINAL WHERE {COUNTED} AND mapContains(reached, {{stage:String}}) "
        f"AND {at} <= {LATEST} GROUP BY value HAVING this_week + week_before > 0 ORDER BY value",
        {"stage": stage},
    ).objects()


def _ago(at: str) -> str:
    """Return the query text for how many weeks ago an instant was; the latest week is 0."""
    return f"intDiv(date_diff('millisecond', {at}, {LATEST}), {_WEEK_MS})"


def _by_week(client: ClickHouse, weeks: int, sql: str, **bound: Any) -> dict[int, Sequence[Any]]:
    """Return the rows of a query by the weeks ago that its first column says."""
    found = client.query(sql, {"weeks": weeks, **bound})
    return {int(ago): rest for ago, *rest in found.rows}


def _counts(client: ClickHouse, weeks: int) -> dict[str, list[int]]:
    found = client.query(
        f"SELECT stage_reached, {_ago('at')} AS ago, count() FROM ("  # noqa: S608
        "SELECT 'known' AS stage_reached, reached['known'] AS at FROM lead_state FINAL "
        f"WHERE mapContains(reached, 'known') AND {COUNTED} UNION ALL "
        "SELECT toString(to_stage), min(occurred_at) FROM transitions FINAL "
        f"WHERE to_stage IN {STAGES[1:]} AND {COUNTED} GROUP BY lead_id, cycle, to_stage"
        f") WHERE at <= {LATEST} AND ago < {{weeks:UInt32}} GROUP BY stage_reached, ago",
        {"weeks": weeks},
    )
    counts = {stage: [0] * weeks for stage in STAGES}
    for stage, ago, count in found.rows:
        counts[stage][weeks - 1 - ago] = int(count)
    return counts


def _shares(client: ClickHouse, weeks: int, success: str, at: str) -> list[Rate]:
    """Return a share of the hand-overs by the week in which it was decided.

    Args:
        success: a column of v_handovers that is 1, 0, or NULL while nobody knows.
        at: the column that says when it became 1.
    """
    found = _by_week(
        client,
        weeks,
        f"SELECT {_ago('decided_at')} AS ago, countIf({success} = 1), count() FROM ("  # noqa: S608
        f"SELECT {success}, assumeNotNull(ifNull({at}, ended_at)) AS decided_at FROM v_handovers "
        f"WHERE isNotNull({success})) "
        f"WHERE decided_at <= {LATEST} AND ago < {{weeks:UInt32}} GROUP BY ago",
    )
    return [rate(*map(int, found.get(ago, (0, 0)))) for ago in reversed(range(weeks))]


def _in_time(client: ClickHouse, weeks: int, policy: str) -> list[Rate]:
    found = _by_week(
        client,
        weeks,
        f"SELECT {_ago('least(ifNull(answered_at, due_at), due_at)')} AS ago, "  # noqa: S608
        "countIf(outcome = 'met'), count() FROM v_sla "
        "WHERE policy = {policy:String} AND outcome IN ('met', 'met_late', 'breached') "
        f"AND {COUNTED} AND least(ifNull(answered_at, due_at), due_at) <= {LATEST} "
        "AND ago < {weeks:UInt32} GROUP BY ago",
        policy=policy,
    )
    return [rate(*map(int, found.get(ago, (0, 0)))) for ago in reversed(range(weeks))]


def _responses(client: ClickHouse, weeks: int, policy: str) -> list[list[int]]:
    found = _by_week(
        client,
        weeks,
        f"SELECT {_ago('assumeNotNull(answered_at)')} AS ago, "  # noqa: S608
        "arraySort(groupArray(assumeNotNull(answered_after_s))) FROM v_sla "
        "WHERE policy = {policy:String} AND isNotNull(answered_at) "
        f"AND {COUNTED} AND answered_at <= {LATEST} AND ago < {{weeks:UInt32}} GROUP BY ago",
        policy=policy,
    )
    return [list(found[ago][0]) if ago in found else [] for ago in reversed(range(weeks))]


def _revenue(client: ClickHouse, weeks: int, currency: str) -> list[Decimal]:
    found = _by_week(
        client,
        weeks,
        f"SELECT {_ago('converted_at')} AS ago, sum(revenue) FROM v_conversions "  # noqa: S608
        "WHERE conversion = 'won' AND currency = {currency:String} "
        f"AND {COUNTED} AND converted_at <= {LATEST} AND ago < {{weeks:UInt32}} GROUP BY ago",
        currency=currency,
    )
    return [found[ago][0] if ago in found else Decimal() for ago in reversed(range(weeks))]


def _leaks_opened(client: ClickHouse, weeks: int) -> list[int]:
    found = _by_week(
        client,
        weeks,
        f"SELECT {_ago('opened_at')} AS ago, count() FROM v_leaks "  # noqa: S608
        f"WHERE {COUNTED} AND opened_at <= {LATEST} AND ago < {{weeks:UInt32}} GROUP BY ago",
    )
    return [int(found[ago][0]) if ago in found else 0 for ago in reversed(range(weeks))]


def _leaks_open(client: ClickHouse, weeks: int) -> list[int]:
    found = _by_week(
        client,
        weeks,
        f"WITH {LATEST} AS latest "  # noqa: S608
        f"SELECT ago, countIf(opened_at <= latest - toIntervalMillisecond(ago * {_WEEK_MS}) "
        f"AND (NOT is_resolved OR resolved_at > latest - toIntervalMillisecond(ago * {_WEEK_MS}))) "
        "FROM v_leaks ARRAY JOIN range({weeks:UInt32}) AS ago "
        f"WHERE {COUNTED} GROUP BY ago",
    )
    return [int(found[ago][0]) if ago in found else 0 for ago in reversed(range(weeks))]
