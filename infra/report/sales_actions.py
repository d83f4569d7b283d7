"""What sales is to do: leaks, deadlines, and who answers otherwise than the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from shlex import quote
from typing import Final

from leadstream.infra.report.action import Action, When
from leadstream.infra.report.facts import DUE_WITHIN_H, Facts
from leadstream.infra.report.outliers import low_rates, slow_owners
from leadstream.infra.report.stakes import NOBODY
from leadstream.infra.report.words import counted, hours, listed, money, percent
from leadstream.sinks.feedback.reps import Standing


@dataclass(frozen=True, slots=True)
class _Leak:
    when: When
    whom: str
    title: str
    one: str
    many: str


_LEAKS: Final = {
    "mql_without_owner": _Leak(
        When.TODAY, "Sales operations", "Give {} an owner", "MQL", "MQLs"
    ),
    "untouched_at_deadline": _Leak(
        When.TODAY, "Sales", "Answer {} past the deadline", "MQL", "MQLs"
    ),
    "sql_without_opportunity": _Leak(
        When.THIS_WEEK, "Sales", "Open an opportunity for {}", "SQL", "SQLs"
    ),
    "accepted_without_activity": _Leak(
        When.THIS_WEEK, "Sales", "Contact {} and not touched since",
        "lead that was accepted", "leads that were accepted",
    ),
    "languishing": _Leak(
        When.THIS_WEEK, "Sales", "Decide on {}", "lead that no longer moves",
        "leads that no longer move",
    ),
    "rejected_without_reason": _Leak(
        When.THIS_WEEK, "Sales", "Give a reason for {}", "rejection", "rejections"
    ),
    "oscillating": _Leak(
        When.NEXT, "Marketing and sales", "Agree on {} back and forth",
        "lead that goes", "leads that go",
    ),
}  # fmt: skip


def leaks(facts: Facts) -> Iterator[Action]:
    for found in facts.handoffs.at_stake:
        leak = _LEAKS.get(found.leak)
        if leak is None:
            continue
        why = f"The oldest has waited {hours(found.oldest_h)}"
        why += _worth(found.expected, facts.currency)
        if [owner for owner, _ in found.owners] != [NOBODY]:
            why += f" Most have {listed([f'{name} ({n})' for name, n in found.owners])}."
        yield Action(
            leak.when,
            leak.whom,
            leak.title.format(counted(found.open, leak.one, leak.many)),
            why,
            (f"leadstream leaks --leak {found.leak}",),
            found.leads,
            found.expected,
            found.open,
        )


def _worth(expected: Decimal, currency: str) -> str:
    """Return the end of a sentence."""
    return f"; about {money(expected, currency)} are at stake." if expected >= 1 else "."


def due_soon(facts: Facts) -> Iterator[Action]:
    due = facts.handoffs.due_soon
    if due:
        leads = list(dict.fromkeys(row["lead_id"] for row in due))
        owners = sorted({_person(row["whose"]) for row in due})
        yield Action(
            When.TODAY,
            "Sales",
            f"Keep {counted(len(due), 'deadline')} of the next {DUE_WITHIN_H} hours",
            f"The next is in {hours(due[0]['left_h'])}. Whose: {listed(owners)}.",
            tuple(f"leadstream lead {quote(lead)}" for lead in leads[:1]),
            leads[:5],
            count=len(due),
        )


def late_owners(facts: Facts) -> Iterator[Action]:
    """Who keeps fewer deadlines than the others, or is later with the best leads."""
    rows = [
        row | {"value": row["owner"], "ended": row["met"] + row["met_late"] + row["breached"]}
        for row in facts.handoffs.by_owner
        if row["owner"] != "(none)"
    ]
    late = {each.value: each for each in low_rates(rows, "met", "ended")}
    slow = {each.owner: each for each in slow_owners(facts.handoffs.responses, grade="A")}
    for owner in dict.fromkeys([*late, *slow]):
        why = []
        if kept := late.get(owner):
            why.append(
                f"Keeps {percent(kept.rate.value)} of the deadlines ({kept.rate.successes:,} of "
                f"{kept.rate.of:,}), the others {percent(kept.others.value)}: more than chance."
            )
        if found := slow.get(owner):
            why.append(
                f"Answers grade A leads after {hours(found.median_h)} of business time in the "
                f"median ({counted(found.answers, 'answer')}), the others after "
                f"{hours(found.others_median_h)}: more than chance."
            )
        yield Action(
            When.THIS_WEEK,
            owner,
            f"Find out what keeps {owner} from answering in time",
            " ".join(why),
            (f"leadstream leaks --owner {quote(owner)}", "leadstream sla --by owner"),
            count=late[owner].rate.of if owner in late else slow[owner].answers,
        )


def poor_standing(facts: Facts) -> Iterator[Action]:
    for row in facts.feedback.reps:
        if row["sql_standing"] == Standing.WORSE and row["owner"] != "(none)":
            yield Action(
                When.NEXT,
                row["owner"],
                f"Listen to how {row['owner']} takes leads",
                f"{percent(row['sql_adjusted'])} of the MQLs become SQLs, adjusted for their "
                "grades: fewer than the others', by more than chance.",
                ("leadstream reps",),
                count=row["leads"],
            )


def _person(owner: str) -> str:
    return NOBODY if owner == "(none)" else owner
