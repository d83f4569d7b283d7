"""Answers to the questions that everybody asks, as plain objects; times are aware, in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.erasure import chunks
from leadstream.sinks.velocity.cuts import cut
from leadstream.sinks.velocity.rates import rate, verdict

STAGES: Final = ("known", "engaged", "mql", "sal", "sql", "opportunity", "customer")
RATES: Final = (
    "mql_to_sql",
    "low",
    "high",
    "verdict",
    "mql_to_customer",
    "median_days_mql_to_customer",
)
REACHED: Final = tuple(
    f"countIf(furthest >= {place}) AS {stage}" for place, stage in enumerate(STAGES, 1)
)
"""Over `v_leads`: how many leads reached each stage, or a later one."""

_POSITION = frozenset({"topic", "partition", "offset"})
_SLA_INSTANTS: Final = ("started", "warned", "met", "breached", "cancelled")


def funnel(client: ClickHouse, *by: str) -> list[dict[str, Any]]:
    """Return how many leads reached each stage, for each value of a cut, most MQLs first.

    Counts are cumulative; rates are fractions, or None without an MQL. `low` and `high` are the
    95 % interval of `mql_to_sql`, `verdict` where that lies against the healthy band. The median
    is in days, of the leads that were won.

    Args:
        by: fields of `velocity.cuts`; several cut across.
    """
    chosen = cut(*by)
    keys = ", ".join(chosen.aliases)
    rows = client.query(
        f"SELECT {', '.join((*chosen.columns, *REACHED))}, "  # noqa: S608
        "quantileExactInclusiveOrNullIf(0.5)(date_diff('millisecond', mql_at, customer_at) "
        "/ 86400000, isNotNull(mql_at) AND isNotNull(customer_at)) AS days FROM v_leads "
        + (f"GROUP BY {keys} ORDER BY mql DESC, {keys}" if keys else ""),
        chosen.parameters,
    ).objects()
    return [chosen.key_of(row) | _reached(row) for row in rows]


def funnel_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of `funnel`'s objects."""
    return (*cut(*by).names, *STAGES, *RATES)


def _reached(row: dict[str, Any]) -> dict[str, Any]:
    found, mqls = rate(row["sql"], row["mql"]), row["mql"]
    return {stage: row[stage] for stage in STAGES} | {
        "mql_to_sql": found.value,
        "low": found.low if mqls else None,
        "high": found.high if mqls else None,
        "verdict": verdict(found).value,
        "mql_to_customer": row["customer"] / mqls if mqls else None,
        "median_days_mql_to_customer": row["days"],
    }


def lead(client: ClickHouse, lead_id: str) -> dict[str, Any] | None:
    """Return a lead's state, its transitions with their reasons, and its timeline; None: unknown.

    The timeline is in time order; each entry has `at`, `kind`, `what` and `detail`. What happened
    under ids that belong to the lead is in it, and `told_as` there names the id.
    """
    states = _of_lead(client, "lead_state", lead_id, "lead_id")
    periods = _periods(client, lead_id)
    touchpoints = _by_person(client, "touchpoints", lead_id, periods)
    crm_events = _by_person(client, "crm_events", lead_id, periods)
    transitions = _of_lead(client, "transitions", lead_id, "seq")
    clocks = _of_lead(client, "sla", lead_id, "started_at, clock")
    leaks = _of_lead(client, "leaks", lead_id, "opened_at, leak")
    if not (states or touchpoints or crm_events or transitions):
        return None
    timeline = [
        *(_touch_entry(touch) for touch in touchpoints),
        *(_crm_entry(event) for event in crm_events),
        *(_transition_entry(transition) for transition in transitions),
        *(entry for clock in clocks for entry in _clock_entries(clock)),
        *(entry for leak in leaks for entry in _leak_entries(leak)),
    ]
    # Sorting is stable: at one instant, the event comes before what it caused.
    timeline.sort(key=lambda entry: entry["at"])
    return {
        "lead_id": lead_id,
        "state": states[0] if states else None,
        "transitions": [_explained(transition) for transition in transitions],
        "timeline": timeline,
    }


def _of_lead(client: ClickHouse, table: str, lead_id: str, order: str) -> list[dict[str, Any]]:
    return _of_leads(client, table, [lead_id], order)


def _of_leads(
    client: ClickHouse, table: str, lead_ids: list[str], order: str
) -> list[dict[str, Any]]:
    found = client.query(
        f"SELECT * FROM {client.table(table)} FINAL "  # noqa: S608
        f"WHERE lead_id IN {{leads:Array(String)}} ORDER BY {order}",
        {"leads": lead_ids},
    )
    return [
        {key: None if value == "" else value for key, value in row.items() if key not in _POSITION}
        for row in found.objects()
    ]


Periods = dict[str, list[tuple[datetime, datetime]]]
"""Ids that belong to a lead, and from when until when."""


def _periods(client: ClickHouse, lead_id: str) -> Periods:
    found = client.query(
        "SELECT id, since, until FROM v_identities WHERE lead_id = {lead:String}",
        {"lead": lead_id},
    )
    periods: Periods = {}
    for other, since, until in found.rows:
        periods.setdefault(other, []).append((since, until))
    return periods


def _by_person(
    client: ClickHouse, table: str, lead_id: str, periods: Periods
) -> list[dict[str, Any]]:
    """Return the events of a lead, whatever ids they came under: the first telling of each."""
    rows = _of_lead(client, table, lead_id, "occurred_at, event_id")
    if not periods:
        return rows
    for others in chunks(sorted(periods)):
        rows += [
            row | {"told_as": row["lead_id"]}
            for row in _of_leads(client, table, others, "occurred_at, event_id")
            if any(since <= row["occurred_at"] < until for since, until in periods[row["lead_id"]])
        ]
    first: dict[Any, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["occurred_at"]):
        first.setdefault(row["event_id"], row)
    return list(first.values())


def _explained(transition: dict[str, Any]) -> dict[str, Any]:
    """Return a transition with its nested columns as objects, the weightiest rule first."""
    plain = {key: value for key, value in transition.items() if "." not in key}
    contributions = _nested(transition, "contributions")
    contributions.sort(key=lambda rule: (-abs(rule["points"]), rule["rule"]))
    plain["contributions"] = contributions
    plain["predicted_contributions"] = _nested(transition, "predicted_contributions")
    plain["recent_touchpoints"] = _nested(transition, "recent_touchpoints")
    return plain


def _nested(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    columns = {
        key.partition(".")[2]: values for key, values in row.items() if key.startswith(f"{name}.")
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _entry(at: datetime, kind: str, what: str, **facts: Any) -> dict[str, Any]:
    detail = {key: value for key, value in facts.items() if value not in (None, "", {})}
    return {"at": at, "kind": kind, "what": what, "detail": detail}


def _touch_entry(touch: dict[str, Any]) -> dict[str, Any]:
    names = ("channel", "campaign", "asset", "category", "url", "properties")
    facts = {name: touch[name] for name in names} | {"told_as": touch.get("told_as")}
    return _entry(touch["occurred_at"], "touchpoint", touch["type"], **facts)


def _crm_entry(event: dict[str, Any]) -> dict[str, Any]:
    names = ("actor", "owner", "reason", "stage", "opportunity_id", "amount", "currency")
    facts = {name: event[name] for name in (*names, "attributes", "merged_lead_id")}
    facts["told_as"] = event.get("told_as")
    return _entry(event["occurred_at"], "crm", event["type"], **facts)


def _transition_entry(transition: dict[str, Any]) -> dict[str, Any]:
    return _entry(
        transition["occurred_at"],
        "transition",
        f"{transition['from_stage']} -> {transition['to_stage']}",
        cause=transition["cause"],
        criterion=transition["criterion"],
        reason=transition["reason"],
        leak=transition["leak"],
        score=transition["score"],
    )


def _clock_entries(clock: dict[str, Any]) -> list[dict[str, Any]]:
    entries = []
    for event in _SLA_INSTANTS:
        at = clock[f"{event}_at"]
        if at is None or (clock["status"] == "retracted" and clock["event"] == event):
            continue
        facts = {"due_at": clock["due_at"]} if event == "started" else {}
        if event == "met":
            facts = {"response_s": clock["response_s"]}
        entries.append(_entry(at, "sla", f"{clock['policy']} {event}", **facts))
    return entries


def _leak_entries(leak: dict[str, Any]) -> list[dict[str, Any]]:
    entries = [_entry(leak["opened_at"], "leak", f"{leak['leak']} opened", details=leak["details"])]
    if leak["event"] == "resolved" and leak["status"] != "retracted":
        resolution = leak["resolution"]
        entries.append(
            _entry(leak["resolved_at"], "leak", f"{leak['leak']} resolved", resolution=resolution)
        )
    return entries
