"""Answers about handoffs: whether deadlines are kept, and which leads leak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.chances import win_chances
from leadstream.sinks.velocity.rates import rate
from leadstream.sinks.velocity.wins import MeanWin, mean_win, weighted

ATTAINMENT_BY: Final = ("policy", "grade", "owner", "hour")
ATTAINMENT_COLUMNS: Final = (
    "clocks",
    "met",
    "met_late",
    "breached",
    "open",
    "cancelled",
    "attainment",
    "median_response_s",
    "p90_response_s",
)
_KEYS: Final = {
    "owner": "if(runs.owner = '', '(none)', runs.owner)",
    "hour": "concat(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'][weekday], ' ', "
    "leftPad(toString(at_hour), 2, '0'), ':00')",
}
_QUANTILE: Final = (
    "quantileExactInclusiveOrNullIf({})(answered_after_s, isNotNull(answered_after_s))"
)
SPEED_COLUMNS: Final = (
    "policy",
    "answered",
    "clocks",
    "leads",
    "sql",
    "won",
    "to_sql",
    "low",
    "high",
)
LEAK_COLUMNS: Final = (
    "leak",
    "lead_id",
    "age_h",
    "opened_at",
    "owner",
    "stage",
    "grade",
    "amount",
    "currency",
    "win_chance",
    "expected_amount",
    "expected_currency",
    "cycle",
    "details",
)
WORTH_COLUMNS: Final = (
    "leak",
    "open",
    "expected_wins",
    "with_amount",
    "amount",
    "expected_amount",
    "currency",
)


def attainment(
    client: ClickHouse, by: str, policy: str | None = None, time_zone: str = "UTC"
) -> list[dict[str, Any]]:
    """Return how well each policy is kept, and for whom; worst first within a policy.

    `attainment` is the share of the ended or overdue clocks that were met in time, or None. Of the
    answered ones `median_response_s` and `p90_response_s` tell how long that took.

    Args:
        by: of `ATTAINMENT_BY`; hour is the hour of the week in which a clock was started, as
            "Mon 09:00", from Monday on.
        time_zone: of the hours; an IANA name.
    """
    key = "" if by == "policy" else f", {_KEYS.get(by, by)} AS {by}"
    order = {"policy": "policy", "hour": "policy, min(place)"}.get(
        by, f"policy, attainment ASC NULLS LAST, {by}"
    )
    found = client.query(
        f"SELECT policy{key}, count() AS clocks, countIf(outcome = 'met') AS met, "  # noqa: S608
        "countIf(outcome = 'met_late') AS met_late, countIf(outcome = 'breached') AS breached, "
        "countIf(outcome = 'open') AS open, countIf(outcome = 'cancelled') AS cancelled, "
        "if(met + met_late + breached > 0, met / (met + met_late + breached), NULL) AS attainment, "
        f"{_QUANTILE.format(0.5)} AS median_response_s, {_QUANTILE.format(0.9)} AS p90_response_s "
        "FROM (SELECT *, toDayOfWeek(started_at, 0, {time_zone:String}) AS weekday, "
        "toHour(started_at, {time_zone:String}) AS at_hour, weekday * 24 + at_hour AS place "
        "FROM v_sla WHERE {policy:String} = '' OR policy = {policy:String}) AS runs "
        f"GROUP BY policy{'' if by == 'policy' else f', {by}'} ORDER BY {order}",
        {"policy": policy or "", "time_zone": time_zone},
    )
    return found.objects()


def speed_to_lead(client: ClickHouse, policy: str | None = None) -> list[dict[str, Any]]:
    """Return how many leads were qualified by sales, and won, by how soon they were answered.

    Quickest first, the never answered last; `low` and `high` are the 95 % interval of `to_sql`.
    """
    rows = client.query(
        "SELECT policy, answered, sum(clocks) AS clocks, sum(leads) AS leads, sum(sql) AS sql, "
        "sum(won) AS won FROM v_speed_to_lead "
        "WHERE {policy:String} = '' OR policy = {policy:String} "
        "GROUP BY policy, answered, place ORDER BY policy, place",
        {"policy": policy or ""},
    ).objects()
    for row in rows:
        found = rate(row["sql"], row["leads"])
        row |= {"to_sql": found.value, "low": found.low, "high": found.high}
    return rows


def attainment_columns(by: str) -> tuple[str, ...]:
    """Return the keys of `attainment`'s objects."""
    return ("policy", *([] if by == "policy" else [by]), *ATTAINMENT_COLUMNS)


def open_leaks(
    client: ClickHouse,
    leak: str | None = None,
    owner: str | None = None,
    limit: int = 0,
    currency: str | None = None,
) -> list[dict[str, Any]]:
    """Return the open leaks with what each puts at stake, the dearest and then the oldest first.

    `win_chance` is that of a lead of this stage, grade and age (`velocity.chances`), None where
    it is won. `expected_amount` is that chance times the amount of the lead, where one is known,
    or else times the mean won amount; `expected_currency` is that amount's. Ages are in hours, up
    to the latest instant that the data knows of.

    Args:
        leak: only of this kind.
        owner: only of leads of this owner.
        limit: no more than these; 0: all.
        currency: of the mean won amount; by default the one of most wins.
    """
    rows = client.query(
        "WITH (SELECT as_of FROM v_as_of) AS latest "
        "SELECT leaks.leak AS leak, leaks.lead_id AS lead_id, "
        "round(dateDiff('second', opened_at, greatest(latest, opened_at)) / 3600, 1) AS age_h, "
        "opened_at, nullIf(leaks.owner, '') AS owner, nullIf(leaks.stage, '') AS stage, "
        "nullIf(leaks.grade, '') AS grade, leaks.amount AS amount, "
        "nullIf(leaks.currency, '') AS currency, leaks.cycle AS cycle, "
        "nullIf(leaks.details, '') AS details, "
        "stage_now, stage_now = 'customer' AS is_won, leads.grade AS grade_now, "
        "greatest(date_diff('millisecond', leads.stage_since, latest), 0) / 86400000 AS age_days "
        "FROM v_leaks AS leaks "
        "LEFT JOIN (SELECT lead_id, grade, stage_since FROM v_leads "
        "WHERE lead_id IN (SELECT lead_id FROM leaks)) AS leads ON leads.lead_id = leaks.lead_id "
        "WHERE NOT is_resolved AND ({leak:String} = '' OR leak = {leak:String}) "
        "AND ({owner:String} = '' OR owner = {owner:String})",
        {"leak": leak or "", "owner": owner or ""},
    ).objects()
    if not rows:
        return []
    mean = mean_win(client, currency)
    leads = [(row.pop("stage_now"), row.pop("grade_now"), row.pop("age_days")) for row in rows]
    chances = win_chances(client, {stage for stage, _, _ in leads}).of_each(leads)
    found = [_at_stake(row, chance, mean) for row, chance in zip(rows, chances, strict=True)]
    found.sort(key=_dearest_and_oldest)
    return found[: limit or None]


def leak_worth(client: ClickHouse, currency: str | None = None) -> list[dict[str, Any]]:
    """Return what the open leaks of each kind put at stake, most leaks first.

    `amount` sums the amounts of the `with_amount` leads that have one, `expected_amount` those of
    `open_leaks`; each currency has its row. Leads that are won all the same are left out. One that
    leaks in two ways is in both kinds: kinds do not add up.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in open_leaks(client, currency=currency):
        if row["win_chance"] is not None:
            of_currency = row["expected_currency"] if row["amount"] is None else row["currency"]
            groups[row["leak"], of_currency or ""].append(row)
    rows = [
        {
            "leak": leak,
            "open": len(found),
            "expected_wins": sum(row["win_chance"] for row in found),
            "with_amount": sum(row["amount"] is not None for row in found),
            "amount": _sum(row["amount"] for row in found),
            "expected_amount": _sum(row["expected_amount"] for row in found),
            "currency": of_currency or None,
        }
        for (leak, of_currency), found in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["open"], row["leak"], row["currency"] or ""))


def leak_counts(client: ClickHouse) -> list[dict[str, Any]]:
    """Return how many leaks of each kind are open, were resolved, and how long that took."""
    return client.query(
        "SELECT leak, countIf(NOT is_resolved) AS open, countIf(is_resolved) AS resolved, "
        "round(medianExactOrNullIf(dateDiff('second', opened_at, resolved_at), is_resolved) / 3600,"
        " 1) AS median_hours_to_resolve "
        "FROM v_leaks GROUP BY leak ORDER BY open DESC, leak"
    ).objects()


def _at_stake(row: dict[str, Any], chance: float, mean: MeanWin) -> dict[str, Any]:
    is_won = row.pop("is_won")
    known: Decimal | None = row["amount"]
    each = mean.amount if known is None else known
    expected = None if is_won or each is None else weighted(each, chance)
    of_currency = mean.currency if known is None else row["currency"]
    return row | {
        "win_chance": None if is_won else chance,
        "expected_amount": expected,
        "expected_currency": None if expected is None else of_currency or None,
    }


def _dearest_and_oldest(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        -(row["expected_amount"] or 0),
        -(row["amount"] or 0),
        row["opened_at"],
        row["lead_id"],
        row["leak"],
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None
