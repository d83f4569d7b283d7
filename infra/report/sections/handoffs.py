"""How what marketing hands over is taken: speed to lead, deadlines, leaks."""

from __future__ import annotations

from typing import Any, Final

from leadstream.infra.report.blocks import Chart, Column, Section, Spec, Table
from leadstream.infra.report.charts import (
    BAD,
    CALM,
    COUNT,
    SHARE,
    WARN,
    field,
    heat,
    intervals,
    label,
    stacked,
)
from leadstream.infra.report.facts import LEAKS_SHOWN, Facts
from leadstream.infra.report.stakes import NOBODY
from leadstream.infra.report.words import counted, hours, money, percent
from leadstream.sinks.losses import WITHIN_DAYS

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OUTCOMES: Final = {"in time": CALM, "late": WARN, "never": BAD}
_AGES: Final = {
    "under a day": "var(--h1)", "1 to 3 days": "var(--h2)", "3 to 7 days": "var(--h3)",
    "1 to 4 weeks": "var(--h4)", "over 4 weeks": "var(--h5)",
}  # fmt: skip
LEAK_WORDS: Final = {
    "mql_without_owner": "MQL, no owner",
    "untouched_at_deadline": "Untouched at deadline",
    "accepted_without_activity": "Accepted, no activity",
    "sql_without_opportunity": "SQL, no opportunity",
    "rejected_without_reason": "Rejected, no reason",
    "unmapped_reason": "Reason means nothing",
    "languishing": "Does not move",
    "oscillating": "Back and forth",
}


def leak_words(leak: str) -> str:
    """Return what people call a kind of leak."""
    return LEAK_WORDS.get(leak, leak.replace("_", " "))


def speed(facts: Facts) -> Section:
    """How many leads went on, by how soon they were answered."""
    rows = [row for row in facts.handoffs.speed if row["policy"] == facts.policy]
    name, title = "speed", "Speed to lead"
    if not rows:
        return Section(name, title, "No clock has ended yet, so nothing tells how soon sales "
                       "answers.")  # fmt: skip
    values = [row | {"told": row["answered"]} for row in rows]
    quickest = rows[0]
    says = (
        f"Of the leads answered {quickest['answered']}, {percent(quickest['to_sql'])} became SQLs "
        f"({quickest['sql']:,} of {quickest['leads']:,}). Times are of the clock on the wall, from "
        "MQL to the first answer. Quick answers may go to the better leads."
    )
    return Section(name, title, says, [Chart(
        "speed", f"Became SQL, by how soon the lead was answered ({facts.policy})",
        "Shares with their 95% intervals, the quickest answers first.",
        intervals(values, "answered", "to_sql", "low", "high", [
            label("answered", "Answered"), field("to_sql", "Became SQL", SHARE),
            field("low", "At least", SHARE), field("high", "At most", SHARE),
            field("leads", "Leads", COUNT),
        ]),
        Table("Leads by how soon they were answered", [
            Column("Answered"), Column("Leads", "count"), Column("SQLs", "count"),
            Column("Won", "count"), Column("Became SQL", "share"), Column("at least", "share"),
            Column("at most", "share"),
        ], [[row[key] for key in ("answered", "leads", "sql", "won", "to_sql", "low", "high")]
            for row in rows]),
        "Lines are 95% intervals: where they overlap, the difference may be chance.",
    )], "leadstream sla --speed")  # fmt: skip


def deadlines(facts: Facts) -> Section:
    """Whether deadlines are kept: by policy, grade, owner and hour of the week."""
    found = facts.handoffs
    name, title = "deadlines", "Deadlines"
    ended = [row for row in found.attainment if row["attainment"] is not None]
    if not ended:
        return Section(name, title, "No deadline has passed yet.")
    worst = min(ended, key=lambda row: (row["attainment"], row["policy"]))
    says = (
        f"{percent(worst['attainment'])} of the deadlines of {worst['policy']} were kept, the "
        "least of all policies. Clocks that still run in time and cancelled ones do not count."
    )
    blocks = [
        _outcomes("policies", "Deadlines by policy", "policy", ended),
        _outcomes("grades", f"Deadlines of {facts.policy} by grade", "grade",
                  sorted(found.by_grade, key=lambda row: row["grade"])),
        _outcomes("owners", f"Deadlines of {facts.policy} by owner, worst first", "owner",
                  found.by_owner),
        *_hours(facts),
    ]  # fmt: skip
    return Section(name, title, says, blocks, "leadstream sla --by owner")


def _outcomes(name: str, title: str, by: str, rows: list[dict[str, Any]]) -> Chart:
    ended = [
        row | {by: NOBODY if row[by] == "(none)" else row[by]}
        for row in rows
        if row["attainment"] is not None
    ]
    parts = (("in time", "met"), ("late", "met_late"), ("never", "breached"))
    values = [
        {by: row[by], "outcome": outcome, "clocks": row[column], "place": place,
         "attainment": row["attainment"]}
        for row in ended for place, (outcome, column) in enumerate(parts)
    ]  # fmt: skip
    return Chart(
        name, title, "Bars of the deadlines kept, kept late and not kept, as shares.",
        stacked(values, by, "outcome", _OUTCOMES, field("clocks"), [
            label(by, by.capitalize()), label("outcome", "Answered"),
            field("clocks", "Clocks", COUNT), field("attainment", "In time", SHARE),
        ], whole=True),
        Table(title, [
            Column(by.capitalize()), Column("In time", "count"), Column("Late", "count"),
            Column("Never", "count"), Column("Still open", "count"),
            Column("Kept", "share"), Column("Median answer, business time", "seconds"),
        ], [[row[by], row["met"], row["met_late"], row["breached"], row["open"],
             row["attainment"], row["median_response_s"]] for row in ended]),
        "",
        _OUTCOMES,
    )  # fmt: skip


def _hours(facts: Facts) -> list[Chart]:
    rows = facts.handoffs.hours_of_week
    if not rows:
        return []
    values = []
    for row in rows:
        ended = row["met"] + row["met_late"] + row["breached"]
        weekday, _, hour_of_day = row["hour"].partition(" ")
        if ended:
            values.append({"weekday": weekday, "hour": int(hour_of_day[:2]), "clocks": ended,
                           "met": row["met"], "missed": ended - row["met"],
                           "kept": row["attainment"]})  # fmt: skip
    hour: Spec = {
        "field": "hour", "type": "ordinal", "title": "Hour at which the lead became an MQL, UTC",
        "scale": {"domain": list(range(24))},
        "axis": {"labelAngle": 0, "labelOverlap": True, "grid": False},
    }  # fmt: skip
    day: Spec = {
        "field": "weekday", "type": "ordinal", "title": None, "scale": {"domain": list(_WEEKDAYS)},
        "axis": {"grid": False, "labelColor": "var(--ink)"},
    }  # fmt: skip
    return [Chart(
        "hours", "When handoffs are missed: deadlines not kept, by hour of the week",
        "A grid of weekdays and hours; the stronger a cell, the more deadlines were missed.",
        heat(values, hour, day,
             {"field": "missed", "type": "quantitative",
              "scale": {"domainMin": 0, "range": [0.05, 1]}},
             [label("weekday", "Day"), field("hour", "Hour, UTC", COUNT),
              field("clocks", "Clocks", COUNT), field("missed", "Missed", COUNT),
              field("kept", "In time", SHARE)], BAD),
        Table("Deadlines by hour of the week", [
            Column("Day"), Column("Hour, UTC", "count"), Column("Clocks", "count"),
            Column("In time", "count"), Column("Kept", "share"),
        ], [[row[key] for key in ("weekday", "hour", "clocks", "met", "kept")] for row in values]),
        "Empty cells had no handoff.",
    )]  # fmt: skip


def leaks(facts: Facts) -> Section:
    """What is left lying now, for how long, and what is at stake."""
    found = facts.handoffs
    name, title = "leaks", "Leaks"
    if not found.leak_counts:
        return Section(name, title, "No leak was ever found.")
    if not found.at_stake:
        resolved = sum(row["resolved"] for row in found.leak_counts)
        return Section(name, title, f"No leak is open; {counted(resolved, 'leak')} were resolved.")
    open_now = sum(each.open for each in found.at_stake)
    values = [
        {"leak": leak_words(each.leak), "age": age, "leads": count, "place": place,
         "oldest": hours(each.oldest_h), "stake": money(each.expected, facts.currency)}
        for each in found.at_stake
        for place, (age, count) in enumerate(zip(_AGES, each.ages, strict=True))
    ]  # fmt: skip
    most, dearest = found.at_stake[0], max(found.at_stake, key=lambda each: each.expected)
    says = (
        f"{open_now:,} are open, most often “{leak_words(most.leak)}” ({most.open:,}); "
        f"{facts.weekly.leaks_opened[-1]:,} were opened this week."
    )
    if dearest.expected:
        says += (
            f" Most is at stake in “{leak_words(dearest.leak)}”: about "
            f"{money(dearest.expected, facts.currency)}, by the chance to win."
        )
    counts = {row["leak"]: row for row in found.leak_counts}
    return Section(name, title, says, [
        Chart(
            "leaks", "Open leaks by kind and age",
            "Bars of the open leaks of each kind, split by how long they have been open.",
            stacked(values, "leak", "age", _AGES, field("leads"), [
                label("leak", "Leak"), label("age", "Open for"), field("leads", "Leads", COUNT),
                label("oldest", "Oldest"), label("stake", "At stake, all ages"),
            ]),
            Table("Leaks by kind", [
                Column("Leak"), Column("Open", "count"),
                *(Column(age.capitalize(), "count") for age in _AGES), Column("Oldest", "hours"),
                Column(f"At stake {facts.currency}".rstrip(), "money"),
                Column("Resolved", "count"), Column("Median to resolve", "hours"),
            ], [[leak_words(each.leak), each.open, *each.ages, each.oldest_h, each.expected,
                 counts[each.leak]["resolved"], counts[each.leak]["median_hours_to_resolve"]]
                for each in found.at_stake]),
            legend=_AGES,
        ),
        *_losses(facts),
        Table(
            f"The {min(LEAKS_SHOWN, len(found.open_leaks))} dearest, then oldest",
            [Column("Lead", "code"), Column("Leak"), Column("Open for", "hours"), Column("Owner"),
             Column("Stage"), Column("Grade"), Column("At stake", "shown")],
            [[row["lead_id"], leak_words(row["leak"]), row["age_h"], row["owner"], row["stage"],
              row["grade"], money(row["expected_amount"], row["expected_currency"] or "")]
             for row in found.open_leaks],
        ),
    ], "leadstream leaks")  # fmt: skip


def _losses(facts: Facts) -> list[Table]:
    rows = facts.handoffs.losses
    if not rows:
        return []
    return [Table(
        f"What leaks cost: wins within {WITHIN_DAYS} days, beside leads of like stage and grade",
        [Column("Leak"), Column("Leaked", "count"), Column("Won", "share"),
         Column("Others won", "share"), Column("Wins lost", "number"), Column("at least", "number"),
         Column("at most", "number"), Column("Money lost", "shown"), Column("Finding")],
        [[leak_words(row["leak"]), row["leaked"], row["won_rate"], row["won_rate_of_others"],
          row["wins_lost"], row["low"], row["high"],
          money(row["money_lost"], row["currency"] or ""), row["verdict"]] for row in rows],
    )]  # fmt: skip
