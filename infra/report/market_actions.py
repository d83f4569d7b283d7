"""What marketing is to do, and what changed for the worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from leadstream.infra.report.action import Action, When
from leadstream.infra.report.chance import Certainty
from leadstream.infra.report.changes import Change
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.outliers import low_rates
from leadstream.infra.report.words import money, percent

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


def poor_channels(facts: Facts) -> Iterator[Action]:
    for found in low_rates(facts.feedback.accepted_by_channel, "accepted", "answered"):
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


def unpaid(facts: Facts) -> Iterator[Action]:
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


def of_changes(facts: Facts, changed: Sequence[Change]) -> Iterator[Action]:
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
