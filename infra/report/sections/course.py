"""How leads move on: the funnel, cohorts, and what the month is likely to end with."""

from __future__ import annotations

from typing import Final

from leadstream.infra.report.blocks import Chart, Column, Note, Section, Table
from leadstream.infra.report.charts import COUNT, SHARE, bars, curve, field, label
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import cell, counted, money, percent
from leadstream.sinks.answers import STAGES
from leadstream.sinks.velocity.rates import HEALTHY_MQL_TO_SQL

STAGE_WORDS: Final = {
    "known": "Known", "engaged": "Engaged", "mql": "MQL", "sal": "SAL", "sql": "SQL",
    "opportunity": "Opportunity", "customer": "Customer",
}  # fmt: skip
PIPELINE_STAGES: Final = ("mql", "sal", "sql", "opportunity")


def funnel(facts: Facts) -> Section:
    """How many leads reached each stage, where they are lost, and where they are now."""
    found = facts.course.funnel
    name, title = "funnel", "Funnel"
    if not found["known"]:
        return Section(name, title, "No lead is known by name yet.")
    says = (
        f"Of {counted(found['known'], 'known lead')} {found['mql']:,} became MQLs, "
        f"{found['sql']:,} SQLs and {counted(found['customer'], 'customer')}."
    )
    if found["mql"]:
        low, high = HEALTHY_MQL_TO_SQL
        says += (
            f" MQL to SQL is {percent(found['mql_to_sql'])}; the healthy band is {low:.0%} to "
            f"{high:.0%}."
        )
    return Section(
        name, title, says, [_stages(facts), _by_channel(facts), _stays(facts), *_pipeline(facts)],
        "leadstream funnel --by channel",
    )  # fmt: skip


def _stages(facts: Facts) -> Chart:
    found = facts.course.funnel
    step_to = {row["step"].partition(" to ")[2]: row for row in facts.course.steps
               if row["step"] != "mql to sql"}  # fmt: skip
    rows = []
    for stage in STAGES:
        step = step_to.get(stage, {})
        share, days = step.get("rate"), step.get("median_days")
        rows.append({
            "stage": STAGE_WORDS[stage], "leads": found[stage], "share": share,
            "low": step.get("low"), "high": step.get("high"), "days": days,
            "step": percent(share), "taken": cell(days, "number"),
            "told": f"{found[stage]:,}" + ("" if share is None else f"  ·  {percent(share)}"),
        })  # fmt: skip
    return Chart(
        "funnel", "Leads that reached each stage, or a later one",
        "Bars of the stages from known to customer, each with its leads and the share of the "
        "stage before.",
        bars(rows, "stage", field("leads", "Leads"), "told", [
            label("stage", "Stage"), field("leads", "Leads", COUNT),
            label("step", "Of the stage before"), label("taken", "Median days from there"),
        ]),
        Table("Leads per stage", [
            Column("Stage"), Column("Leads", "count"), Column("Of the stage before", "share"),
            Column("at least", "share"), Column("at most", "share"),
            Column("Median days from there", "number"),
        ], [[row[key] for key in ("stage", "leads", "share", "low", "high", "days")]
            for row in rows]),
    )  # fmt: skip


def _by_channel(facts: Facts) -> Table:
    keys = ("channel", "known", "mql", "sql", "customer", "mql_to_sql", "low", "high", "verdict")
    return Table(
        "By channel of the first touchpoint",
        [Column("Channel"), Column("Known", "count"), Column("MQL", "count"),
         Column("SQL", "count"), Column("Customer", "count"), Column("MQL to SQL", "share"),
         Column("at least", "share"), Column("at most", "share"), Column("Against the band")],
        [[row[key] for key in keys] for row in facts.course.by_channel],
        frozenset({5}),
    )  # fmt: skip


def _stays(facts: Facts) -> Table:
    keys = ("visits", "still_there", "p50_days", "p90_days", "median_days_with_open")
    return Table(
        "Days in each stage",
        [Column("Stage"), Column("Visits", "count"), Column("Still there", "count"),
         Column("Median of those ended", "number"), Column("90% ended within", "number"),
         Column("Median, open ones too", "number")],
        [[STAGE_WORDS.get(row["stage"], row["stage"].capitalize()), *(row[key] for key in keys)]
         for row in facts.course.stays],
    )  # fmt: skip


def _pipeline(facts: Facts) -> list[Table]:
    rows = [row for row in facts.course.pipeline if row["stage"] in PIPELINE_STAGES]
    if not rows:
        return []
    return [Table(
        "In the hands of sales now, and what is likely to be won",
        [Column("Stage"), Column("Leads", "count"), Column("Median age, days", "number"),
         Column("Chance to win", "share"), Column("Expected wins", "number"),
         Column("Amount", "shown"), Column("Weighted by chance", "shown")],
        [[STAGE_WORDS[row["stage"]], row["leads"], row["median_age_days"], row["win_chance"],
          row["expected_wins"], money(row["amount"], row["currency"] or ""),
          money(row["weighted_amount"], row["currency"] or "")] for row in rows],
    )]  # fmt: skip


def cohorts(facts: Facts) -> Section:
    """What has become of the leads of each month, and how long it takes."""
    rows = facts.course.cohorts
    name, title = "cohorts", "Cohorts"
    if not rows:
        return Section(name, title, "No lead is known by name yet, so there is no cohort.")
    stages = ("known", "mql", "sal", "sql", "opportunity", "customer")
    table = Table(
        "By the month in which leads became known, as a share of its leads",
        [Column("Month", "month"), Column("Leads", "count"),
         *(Column(STAGE_WORDS[stage], "share") for stage in stages[1:]),
         Column("MQL to SQL", "share"), Column("at least", "share"), Column("at most", "share"),
         Column("Expected", "share")],
        [[row["cohort"], row["known"], *(row[stage] / row["known"] for stage in stages[1:]),
          row["mql_to_sql"], row["low"], row["high"], row["expected"]] for row in rows],
        frozenset({2, 3, 4, 5, 6, 7}),
    )  # fmt: skip
    return Section(
        name, title,
        "Young months have had less time: “Expected” is the share of their MQLs that are likely to "
        "become SQLs in the end, by how fast all leads did.",
        [table, *_curve(facts), *_forecasts(facts)], "leadstream cohorts",
    )  # fmt: skip


def _curve(facts: Facts) -> list[Chart]:
    rows = facts.course.curve
    if not rows:
        return []
    tooltip = [field("days", "Days since MQL", COUNT), field("moved_on", "Are SQLs", SHARE),
               field("low", "At least", SHARE), field("high", "At most", SHARE),
               field("watched", "Leads watched so long", COUNT)]  # fmt: skip
    last = rows[-1]
    # At no age nobody has moved on.
    start = {"days": 0, "moved_on": 0.0, "low": 0.0, "high": 0.0, "watched": rows[0]["watched"]}
    return [Chart(
        "curve", "How long it takes from MQL to SQL",
        f"A curve: after {last['days']} days {percent(last['moved_on'])} of MQLs are SQLs.",
        curve([start, *rows], field("days", "Days since the lead became an MQL"), "moved_on",
              "low", "high", tooltip),
        Table("Share of MQLs that are SQLs", [
            Column("Days", "count"), Column("Are SQLs", "share"), Column("at least", "share"),
            Column("at most", "share"), Column("Watched", "count"),
        ], [[row[key] for key in ("days", "moved_on", "low", "high", "watched")] for row in rows]),
        "The band is the 95% interval. The curve ends at the share that ever becomes SQL, as far "
        "as the data goes.",
    )]  # fmt: skip


def _forecasts(facts: Facts) -> list[Table | Note]:
    rows = facts.course.forecasts
    if not rows:
        return [Note("There is no MQL yet to forecast from.")]
    return [Table(
        f"What {rows[0].as_of:%B %Y} is likely to end with",
        [Column("Stage"), Column("So far", "count"), Column("Of open MQLs", "number"),
         Column("Of new MQLs", "number"), Column("Expected", "number"),
         Column("at least", "number"), Column("at most", "number")],
        [[STAGE_WORDS[row.stage], row.so_far, row.from_open, row.from_new, row.expected, row.low,
          row.high] for row in rows],
    )]  # fmt: skip
