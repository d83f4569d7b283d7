"""How the model and the data are: whether what is handed over is wanted, and what is missing."""

from __future__ import annotations

from typing import Final

from leadstream.infra.report.blocks import Chart, Column, Note, Section, Table
from leadstream.infra.report.charts import (
    ACCENT,
    COUNT,
    QUIET,
    SHARE,
    WARN,
    chart,
    field,
    intervals,
    label,
    ratios,
)
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, hours, instant, listed, percent
from leadstream.sinks.health import MARGIN_STEP
from leadstream.sinks.velocity.rates import HEALTHY_MQL_TO_SQL, rate, verdict

LIFTS: Final = (0.25, 4.0)
"""What is drawn of a lift."""
_OUTCOMES: Final = {
    "accepted": ("accepted", ACCENT), "turned_down": ("turned down", WARN),
    "procedural": ("procedural", "var(--c5)"), "open": ("no answer yet", QUIET),
}  # fmt: skip
_OUTCOME_COLOURS: Final = dict(_OUTCOMES.values())


def model(facts: Facts) -> Section:
    """Whether the model hands over what sales wants."""
    rows = facts.feedback.accepted_by_criterion
    name, title = "model", "The model"
    if not rows:
        return Section(name, title, "The model has handed nothing over yet.")
    raised = sum(row["handovers"] for row in rows if row["value"] == "hand_raise")
    of = sum(row["handovers"] for row in rows)
    says = (
        f"Version {listed(facts.versions)} decides. {percent(raised / of)} of the MQLs raised "
        f"their hand ({raised:,} of {of:,}); the others qualified by what they did."
    )
    blocks = [*_months(facts), _criteria(facts), *_rules(facts), *_margins(facts), *_shadow(facts)]
    return Section(name, title, says, blocks, "leadstream rules")


def _months(facts: Facts) -> list[Chart | Note]:
    low, high = HEALTHY_MQL_TO_SQL
    values = []
    for row in facts.health.by_month:
        found = rate(row["sqls"], row["sqls"] + row["ended"])
        if found.of:
            values.append({
                "month": f"{row['month']:%b %Y}", "share": found.value, "low": found.low,
                "high": found.high, "decided": found.of, "sqls": row["sqls"],
                "undecided": row["undecided"], "handovers": row["handovers"],
                "verdict": verdict(found).value,
            })  # fmt: skip
    if not values:
        return [Note("Sales has decided on no MQL yet, so nothing tells MQL to SQL.")]
    keys = ("month", "handovers", "sqls", "decided", "undecided", "share", "low", "high", "verdict")
    return [Chart(
        "band", f"MQL to SQL of those decided, and the healthy band of {low:.0%} to {high:.0%}",
        "Shares with their 95% intervals, by the month in which the leads became MQLs.",
        intervals(values, "month", "share", "low", "high", [
            label("month", "MQLs of"), field("share", "Became SQL", SHARE),
            field("low", "At least", SHARE), field("high", "At most", SHARE),
            field("decided", "Decided", COUNT), field("undecided", "Undecided", COUNT),
        ], HEALTHY_MQL_TO_SQL),
        Table("MQLs by month", [
            Column("Month"), Column("MQLs", "count"), Column("SQLs", "count"),
            Column("Decided", "count"), Column("Undecided", "count"), Column("Became SQL", "share"),
            Column("at least", "share"), Column("at most", "share"), Column("Against the band"),
        ], [[row[key] for key in keys] for row in values]),
        "Undecided MQLs are not in the share: of the latest months it may still move.",
    )]  # fmt: skip


def _criteria(facts: Facts) -> Table:
    rows = []
    for row in facts.feedback.accepted_by_criterion:
        found = rate(row["accepted"], row["answered"])
        ends = (found.low, found.high) if found.of else (None, None)
        rows.append([row["value"], row["handovers"], row["answered"], row["accepted"], row["sqls"],
                     found.value, *ends])  # fmt: skip
    return Table(
        "How MQLs qualified, and what sales made of them",
        [Column("Criterion", "code"), Column("MQLs", "count"), Column("Answered", "count"),
         Column("Accepted", "count"), Column("SQLs", "count"), Column("Accepts", "share"),
         Column("at least", "share"), Column("at most", "share")],
        rows,
    )  # fmt: skip


def _rules(facts: Facts) -> list[Chart]:
    rows = [row for row in facts.health.rules if row["lift"] is not None]
    if not rows:
        return []
    # Nothing turned down without the rule, and its lift has no upper end.
    drawn = [
        {key: row[key] for key in ("rule", "handovers", "mean_points", "acceptance", "without",
                                   "lift", "verdict")}
        | {"dot": _inside(row["lift"]), "low": _inside(row["lift_low"]),
           "high": _inside(row["lift_high"])}
        for row in sorted(rows, key=lambda row: (-row["lift"], row["rule"]))
    ]  # fmt: skip
    return [Chart(
        "rules", "Rules of the model: acceptance with the rule, as a multiple of that without",
        "Lifts with their 95% intervals on a logarithmic scale; below 1 sales accepts less often.",
        ratios(drawn, "rule", "dot", "low", "high", LIFTS, [
            label("rule", "Rule"), field("lift", "Lift", ".2f"),
            field("acceptance", "Accepts with it", SHARE), field("without", "Without", SHARE),
            field("mean_points", "Points in the mean", ".1f"), field("handovers", "MQLs", COUNT),
            label("verdict", "Finding"),
        ]),
        Table("Rules", [
            Column("Rule", "code"), Column("MQLs", "count"), Column("Points in the mean", "number"),
            Column("Accepts", "share"), Column("Without", "share"), Column("Lift", "lift"),
            Column("at least", "lift"), Column("at most", "lift"), Column("Finding"),
        ], [[row[key] for key in ("rule", "handovers", "mean_points", "acceptance", "without",
                                  "lift", "lift_low", "lift_high", "verdict")] for row in rows]),
        f"Lifts beyond {LIFTS[0]:g} and {LIFTS[1]:g} are drawn at the edge. Rules come together: "
        "a lift says what leads with the rule have in common, not what it alone does.",
    )]  # fmt: skip


def _inside(lift: float) -> float:
    return min(max(lift, LIFTS[0]), LIFTS[1])


def _margins(facts: Facts) -> list[Chart | Note]:
    rows = facts.health.margins
    if not rows:
        return [Note("No MQL qualified by a threshold, so there is no margin to show.")]
    values = [
        {"margin": row["margin_from"], "until": row["margin_from"] + MARGIN_STEP,
         "fate": _OUTCOMES[row["outcome"]][0], "mqls": row["handovers"],
         "place": list(_OUTCOMES).index(row["outcome"])}
        for row in rows
    ]  # fmt: skip
    colours = _OUTCOME_COLOURS
    return [Chart(
        "margins", "How far above the threshold MQLs were, and what became of them",
        "Columns of MQLs by the points above the threshold, split by what sales said.",
        chart(values, 220, mark={"type": "bar", "cornerRadiusEnd": 0}, encoding={
            "x": {"field": "margin", "type": "quantitative", "title": "Points above the threshold",
                  "bin": {"binned": True, "step": MARGIN_STEP},
                  "axis": {"grid": False, "format": "d", "tickMinStep": 1}},
            "x2": {"field": "until"},
            "y": field("mqls") | {"title": None, "axis": {"tickCount": 4, "format": "d"}},
            "color": {"field": "fate", "type": "nominal", "legend": None,
                      "scale": {"domain": list(colours), "range": list(colours.values())}},
            "order": {"field": "place", "type": "quantitative"},
            "tooltip": [field("margin", "From"), field("until", "To"), label("fate", "Sales"),
                        field("mqls", "MQLs", COUNT)],
        }),
        Table("MQLs by margin", [
            Column("From", "count"), Column("To", "count"), Column("Sales"),
            Column("MQLs", "count"),
        ], [[int(row["margin"]), int(row["until"]), row["fate"], row["mqls"]] for row in values]),
        "Many who are turned down close to zero ask for a higher threshold.",
        colours,
    )]  # fmt: skip


def _shadow(facts: Facts) -> list[Table | Note]:
    found = facts.health.shadow
    if not found:
        return [Note("No candidate runs in the shadow.")]
    return [Table(
        "Candidates in the shadow: MQLs since each follows",
        [Column("Candidate", "code"), Column("Leads followed", "count"), Column("Both", "count"),
         Column("Only the active", "count"), Column("Only the candidate", "count")],
        [[each.candidate, each.leads, len(each.both), len(each.only_active),
          len(each.only_candidate)] for each in found],
    )]  # fmt: skip


def data(facts: Facts) -> Section:
    """Whether everything arrives and is understood."""
    found = facts.health
    letters = found.dead_letters
    told = [f"The data goes to {instant(facts.span.latest)}."]
    for row in found.freshness:
        if row["behind_h"]:
            told.append(f"The latest of the {row['kind']} is {hours(row['behind_h'])} older.")
    if letters is None:
        told.append("This user may not count the records that could not be processed.")
    else:
        waiting = letters.get("open", 0)
        told.append(
            f"{counted(waiting, 'record')} could not be processed and still wait."
            if waiting
            else "No record waits that could not be processed."
        )
    counts = found.counted_apart
    blocks: list[Table] = []
    if found.freshness:
        blocks.append(Table(
            "What arrived", [Column("Kind"), Column("Events", "count"), Column("Latest", "instant"),
                             Column("Before the end", "hours")],
            [[row["kind"], row["events"], row["latest_at"], row["behind_h"]]
             for row in found.freshness],
        ))  # fmt: skip
    blocks.append(Table(
        "What is counted apart", [Column("What"), Column("Count", "count")],
        [["Events too late to be put in their place", counts["late"]],
         ["Events of unknown types", counts["unknown"]],
         ["Leads with more touchpoints than count (bots, often)", counts["hot_leads"]],
         ["Leads absorbed by others", counts["merged"]]],
    ))  # fmt: skip
    if found.unknown_types:
        blocks.append(Table(
            "Unknown types, which score nothing",
            [Column("Type", "code"), Column("Events", "count")],
            [[row["type"], row["events"]] for row in found.unknown_types],
        ))  # fmt: skip
    return Section("data", "The data", " ".join(told), blocks, "leadstream dlq list")
