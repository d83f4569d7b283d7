"""What to do about it: what each rule finds in the facts, the most pressing first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from shlex import quote
from typing import Any, Final

from leadstream.infra.report.chance import Certainty
from leadstream.infra.report.changes import Change
from leadstream.infra.report.facts import DUE_WITHIN_H, Facts
from leadstream.infra.report.outliers import low_rates, slow_owners
from leadstream.infra.report.words import counted, hours, listed, money, percent
from leadstream.sinks.velocity.rates import HEALTHY_MQL_TO_SQL, Verdict, rate, verdict


NOBODY: Final = "(none)"


class When(IntEnum):
    """How soon something is to be done."""

    TODAY = 1
    THIS_WEEK = 2
    NEXT = 3

    @property
    def told(self) -> str:
        return ("today", "this week", "next")[self - 1]


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do.

    Attributes:
        whom: it concerns.
        why: the figures behind it.
        commands: that show more.
        leads: ids of the first that it is about.
        stake: money in the currency of the report.
        is_news: it comes of what changed this week.
    """

    when: When
    whom: str
    title: str
    why: str
    commands: Sequence[str] = ()
    leads: Sequence[str] = ()
    stake: Decimal = Decimal()
    count: int = 0
    is_news: bool = False


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


def actions(facts: Facts, changed: Sequence[Change]) -> list[Action]:
    """Return what the rules find; the most pressing, then news, the dearest, the most."""
    found = [action for rule in _RULES for action in rule(facts)]
    found += _of_changes(facts, changed)
    return sorted(found, key=lambda each: (each.when, not each.is_news, -each.stake, -each.count))


def _leaks(facts: Facts) -> Iterator[Action]:
    for row in facts.handoffs.at_stake:
        leak = _LEAKS.get(row["leak"])
        if leak is None:
            continue
        owners = [
            (_person(name), count)
            for name, count in sorted(row["owners"].items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        stake = f"; {money(row['stake'], facts.currency)} at stake" if row["stake"] else ""
        whose = f" Most have {listed([f'{name} ({n})' for name, n in owners])}."
        only_nobody = [name for name, _ in owners] == [_person(NOBODY)]
        yield Action(
            leak.when,
            leak.whom,
            leak.title.format(counted(row["open"], leak.one, leak.many)),
            f"The oldest has waited {hours(row['oldest_h'])}{stake}."
            f"{'' if only_nobody else whose}",
            (f"leadstream leaks --leak {row['leak']}",),
            row["leads"],
            row["stake"],
            row["open"],
        )


def _due_soon(facts: Facts) -> Iterator[Action]:
    due = facts.handoffs.due_soon
    if due:
        leads = list(dict.fromkeys(row["lead_id"] for row in due))
        owners = sorted({_person(row["value"]) for row in due})
        yield Action(
            When.TODAY,
            "Sales",
            f"Keep {counted(len(due), 'deadline')} of the next {DUE_WITHIN_H} hours",
            f"The next is in {hours(due[0]['left_h'])}. Whose: {listed(owners)}.",
            tuple(f"leadstream lead {quote(lead)}" for lead in leads[:1]),
            leads[:5],
            count=len(due),
        )


def _poor_channels(facts: Facts) -> Iterator[Action]:
    rows = facts.feedback.accepted_by_channel
    for found in low_rates(rows, "accepted", "answered"):
        yield Action(
            When.THIS_WEEK,
            "Marketing",
            f"Look at the MQLs of {found.value}",
            f"Sales accepts {percent(found.rate.value)} of them "
            f"({found.rate.successes:,} of {found.rate.of:,} answered), and "
            f"{percent(found.others.value)} of the others': more than chance.",
            ("leadstream reasons --by channel",),
            count=found.rate.of,
        )


def _late_owners(facts: Facts) -> Iterator[Action]:
    """Who keeps fewer deadlines than the others, or is later with the best leads."""
    rows = [row | {"value": row["owner"] or NOBODY, "ended": _ended(row)}
            for row in facts.handoffs.by_owner]  # fmt: skip
    late = {each.value: each for each in low_rates(rows, "met", "ended") if each.value != NOBODY}
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


def _unmapped(facts: Facts) -> Iterator[Action]:
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


def _band(facts: Facts) -> Iterator[Action]:
    low, high = HEALTHY_MQL_TO_SQL
    decided = [row for row in facts.health.mqls_by_month if row["sqls"] + row["turned_down"]]
    for row in decided[-1:]:
        found = rate(row["sqls"], row["sqls"] + row["turned_down"])
        place = verdict(found)
        if place not in (Verdict.BELOW, Verdict.ABOVE):
            continue
        below = place is Verdict.BELOW
        yield Action(
            When.THIS_WEEK,
            "Marketing and sales",
            f"{'Raise' if below else 'Lower'} the bar for an MQL?",
            f"Of the MQLs of {row['month']:%B %Y} that are decided, {percent(found.value)} became "
            f"SQLs ({found.successes:,} of {found.of:,}): {place.value} the healthy band of "
            f"{low:.0%} to {high:.0%}. Too {'many are' if below else 'few are'} passed on.",
            ("leadstream cohorts", "leadstream model backtest --help"),
            count=found.of,
        )


def _dead_letters(facts: Facts) -> Iterator[Action]:
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


def _unknown_types(facts: Facts) -> Iterator[Action]:
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


def _silence(facts: Facts) -> Iterator[Action]:
    for row in facts.health.freshness:
        if row["behind_h"] > SILENT_AFTER_H:
            yield Action(
                When.TODAY,
                "Operations",
                f"Find out why no {row['kind']} arrive",
                f"The latest is {hours(row['behind_h'])} older than the end of the data.",
                ("leadstream dlq list",),
            )


def _unpaid(facts: Facts) -> Iterator[Action]:
    for row in facts.credit.linear:
        if row.get("cost") and not row["conversions"]:
            yield Action(
                When.NEXT,
                "Marketing",
                f"Ask what {row['channel']} is paid for",
                f"{money(row['cost'], facts.currency)} were spent, and no conversion "
                f"({facts.asked.conversion}) is due to it.",
                (f"leadstream attribution --conversion {facts.asked.conversion}",),
                stake=row["cost"],
            )


def _of_changes(facts: Facts, changed: Sequence[Change]) -> Iterator[Action]:
    """What has become worse by more than chance, with where to look."""
    for change in changed:
        if change.certainty is not Certainty.REAL or change.judged != "worse":
            continue
        where = _fallen_most(facts) if change.name == "New leads" else ""
        yield Action(
            When.THIS_WEEK,
            _CONCERNS.get(change.name, "Marketing and sales"),
            f"Find out why {change.name} went {change.direction}",
            f"{change.shown(change.this)} this week, {change.shown(change.before)} the week "
            f"before: more than chance.{where}",
            _SHOWN_BY.get(change.name, ()),
            is_news=True,
        )


def _fallen_most(facts: Facts) -> str:
    falls = [(row["this_week"] - row["week_before"], row["value"]) for row in facts.arrivals]
    if not falls:
        return ""
    fall, channel = min(falls)
    return f" Most are missing from {channel} ({fall:+,})." if fall < 0 else ""


def _person(owner: str) -> str:
    return "nobody" if owner == NOBODY else owner


def _ended(row: dict[str, Any]) -> int:
    ended: int = row["met"] + row["met_late"] + row["breached"]
    return ended


SILENT_AFTER_H: Final = 48
"""A weekend; a source that is silent for longer is told of."""
_CONCERNS: Final = {
    "New leads": "Marketing",
    "MQLs": "Marketing",
    "SALs": "Sales",
    "Deadlines kept": "Sales",
    "Median response": "Sales",
}
_SHOWN_BY: Final = {
    "New leads": ("leadstream funnel --by channel",),
    "MQLs": ("leadstream funnel --by channel",),
    "SALs": ("leadstream reasons --by channel",),
    "SQLs": ("leadstream cohorts --grain week",),
    "MQLs accepted": ("leadstream reasons --by channel",),
    "MQL to SQL": ("leadstream cohorts --grain week",),
    "Deadlines kept": ("leadstream sla --by owner",),
    "Median response": ("leadstream sla --by owner",),
    "Leaks opened": ("leadstream leaks --summary",),
}
_RULES: Final[tuple[Callable[[Facts], Iterator[Action]], ...]] = (
    _leaks, _due_soon, _poor_channels, _late_owners, _unmapped, _band,
    _dead_letters, _unknown_types, _silence, _unpaid,
)  # fmt: skip
