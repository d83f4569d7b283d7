"""What a backtest must say, counted another way: from transitions and events, with dicts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

Mqls = Mapping[str, tuple[datetime, str]]
"""First handoff of each lead, and its grade."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def expected_of_model(mqls: Mqls, facts: Mapping[str, Mapping[str, datetime]]) -> dict[str, Any]:
    """Return hits by kind of fact, and conversion by grade.

    Args:
        facts: for `sql` and `won`, the last fact of each lead.
    """
    found: dict[str, Any] = {}
    converted = {}
    for kind, last_fact in facts.items():
        both = {lead for lead in mqls.keys() & last_fact.keys() if mqls[lead][0] <= last_fact[lead]}
        converted[kind] = Counter(mqls[lead][1] for lead in both)
        found[kind] = {
            "mqls": len(mqls),
            "mqls_with_fact": len(both),
            "facts": len(last_fact),
            "facts_foretold": len(both),
            "precision": len(both) / len(mqls) if mqls else None,
            "recall": len(both) / len(last_fact) if last_fact else None,
        }
    handed_over = Counter(grade for _, grade in mqls.values())
    found["by_grade"] = {
        grade: (count, converted["sql"][grade], converted["won"][grade])
        for grade, count in handed_over.items()
    }
    return found


def said_of_model(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same figures from the backtest's own answer."""
    by_grade = said["by_grade"].items()
    return {
        "sql": said["sql"],
        "won": said["won"],
        "by_grade": {
            grade: (of["mqls"], of["sql"], of["won"]) for grade, of in by_grade if of["mqls"]
        },
    }


def expected_changes(old: Mqls, new: Mqls) -> dict[str, Any]:
    """Return who is gained, lost, earlier and later, and by how much."""
    days = {
        lead: (old[lead][0] - new[lead][0]).total_seconds() / 86_400
        for lead in old.keys() & new.keys()
    }
    return {
        "gained": new.keys() - old.keys(),
        "lost": old.keys() - new.keys(),
        "earlier": sum(d > 0 for d in days.values()),
        "later": sum(d < 0 for d in days.values()),
        "same_instant": sum(d == 0 for d in days.values()),
        "median_days_won": median(days.values()) if days else None,
    }


def said_changes(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same from the backtest's own answer."""
    moved = said["another_time"]
    names = ("earlier", "later", "same_instant", "median_days_won")
    named = {kind: {lead["lead_id"] for lead in said[kind]} for kind in ("gained", "lost")}
    return named | {name: moved[name] for name in names}


def load_of_weekdays(
    started: Iterable[tuple[str, datetime]], first: date, last: date
) -> dict[str, Any]:
    """Return the load on working days from Monday to Friday that end at 17:00 UTC.

    Args:
        started: policy and instant of each clock.
    """
    clocks = list(started)
    by_day = Counter(_day_of_work(instant) for _, instant in clocks)
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    days = {day for day in span if day.weekday() < 5} | by_day.keys()
    return {
        "clocks": by_day.total(),
        "business_days": len(days),
        "max_per_day": max(by_day.values(), default=0),
        "mean_per_day": by_day.total() / len(days),
        "by_policy": dict(Counter(policy for policy, _ in clocks)),
    }


def _day_of_work(instant: datetime) -> date:
    day = instant.date() + timedelta(days=instant.hour >= 17)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day
