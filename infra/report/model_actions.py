"""What the owners of the model and of the system are to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leadstream.infra.report.action import Action, When
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, hours, listed, percent
from leadstream.sinks.feedback.ratios import Effect
from leadstream.sinks.velocity.rates import HEALTHY_MQL_TO_SQL, Verdict, rate, verdict

SILENT_AFTER_H: Final = 48
"""A weekend; a source that is silent for longer is told of."""


def unmapped(facts: Facts) -> Iterator[Action]:
    rows = facts.feedback.unmapped
    if rows:
        times = sum(row["transitions"] for row in rows)
        wordings = [f"“{row['reason_given']}” ({row['transitions']})" for row in rows]
        yield Action(
            When.THIS_WEEK,
            "Owner of the model",
            f"Map {counted(len(rows), 'wording')} of the CRM to reasons",
            f"{counted(times, 'rejection')} mean nothing to the model: {listed(wordings)}. "
            "Add them to reason_wordings.",
            ("leadstream reasons --unmapped",),
            count=times,
        )


def band(facts: Facts) -> Iterator[Action]:
    low, high = HEALTHY_MQL_TO_SQL
    decided = [row for row in facts.health.by_month if row["sqls"] + row["ended"]]
    for row in decided[-1:]:
        found = rate(row["sqls"], row["sqls"] + row["ended"])
        place = verdict(found)
        if place not in (Verdict.BELOW, Verdict.ABOVE):
            continue
        below = place is Verdict.BELOW
        yield Action(
            When.THIS_WEEK,
            "Marketing and sales",
            f"Talk about a {'higher' if below else 'lower'} bar for an MQL",
            f"Of the MQLs of {row['month']:%B %Y} that are decided, {percent(found.value)} became "
            f"SQLs ({found.successes:,} of {found.of:,}): {place.value} the healthy band of "
            f"{low:.0%} to {high:.0%}. Too {'many' if below else 'few'} are passed on.",
            ("leadstream cohorts", "leadstream model backtest --help"),
            count=found.of,
        )


def misleading_rules(facts: Facts) -> Iterator[Action]:
    for row in facts.health.rules:
        # What takes points off is meant to mark who is turned down.
        if row["verdict"] == Effect.LOWERS and row["mean_points"] > 0:
            yield Action(
                When.THIS_WEEK,
                "Owner of the model",
                f"Take points from the rule {row['rule']}",
                f"Sales accepts {percent(row['acceptance'])} of the MQLs in which it had points "
                f"({row['mean_points']:,.1f} in the mean), and {percent(row['without'])} of the "
                f"others: a lift of {row['lift']:.2f}, more than chance.",
                ("leadstream rules", "leadstream model backtest --help"),
                count=row["handovers"],
            )


def dead_letters(facts: Facts) -> Iterator[Action]:
    waiting = (facts.health.dead_letters or {}).get("open", 0)
    if waiting:
        yield Action(
            When.TODAY,
            "Operations",
            f"Mend {counted(waiting, 'record')} that could not be processed",
            "What they say of leads is missing in every figure here.",
            ("leadstream dlq list",),
            count=waiting,
        )


def unknown_types(facts: Facts) -> Iterator[Action]:
    rows = facts.health.unknown_types
    if rows:
        events = sum(row["events"] for row in rows)
        names = [f"{row['type']} ({row['events']:,})" for row in rows]
        yield Action(
            When.NEXT,
            "Owner of the model",
            f"Say what {counted(len(rows), 'unknown type')} of events are worth",
            f"{counted(events, 'event')} score nothing: {listed(names)}. A rule may count them, "
            "once event_types of the model names them.",
            ("leadstream model check --help",),
            count=events,
        )


def silence(facts: Facts) -> Iterator[Action]:
    for row in facts.health.freshness:
        if row["behind_h"] > SILENT_AFTER_H:
            yield Action(
                When.TODAY,
                "Operations",
                f"Find out why no {row['kind']} arrive",
                f"The latest is {hours(row['behind_h'])} older than the end of the data.",
                ("leadstream dlq list",),
            )
