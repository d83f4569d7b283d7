"""What sales says of the leads: reasons by source, and how reps take them."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Final

from leadstream.infra.report.blocks import Chart, Column, Section, Spec, Table
from leadstream.infra.report.charts import COUNT, SHARE, field, heat, intervals, label
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, percent
from leadstream.sinks.velocity.rates import rate

REASONS_SHOWN: Final = 12


def reasons(facts: Facts) -> Section:
    """Why leads were turned down, by the channel that they came from."""
    rows = facts.feedback.reasons
    name, title = "reasons", "Reasons"
    if not rows:
        return Section(name, title, "Sales has turned no lead down yet.")
    totals: Counter[str] = Counter()
    of_channel: Counter[str] = Counter()
    cells: Counter[tuple[str, str]] = Counter()
    for row in facts.feedback.by_channel:
        totals[row["reason"]] += row["transitions"]
        of_channel[row["channel"]] += row["transitions"]
        cells[row["reason"], row["channel"]] += row["transitions"]
    shown = [reason for reason, _ in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))]
    shown = shown[:REASONS_SHOWN]
    channels = sorted(of_channel, key=lambda channel: (-of_channel[channel], channel))
    values = [
        {"reason": reason, "channel": channel, "times": cells[reason, channel],
         "share": cells[reason, channel] / of_channel[channel]}
        for reason in shown for channel in channels if cells[reason, channel]
    ]  # fmt: skip
    everything = sum(totals.values())
    silent = totals["(none)"] + totals["(unmapped)"]
    top = next((reason for reason in shown if not reason.startswith("(")), None)
    says = f"Leads were turned down {counted(everything, 'time')}"
    says += f"; most often for {top} ({percent(totals[top] / everything)})." if top else "."
    if silent:
        says += f" {percent(silent / everything)} say nothing to marketing: no reason, or one that "
        says += "the model does not know."
    x: Spec = {
        "field": "channel", "type": "nominal", "sort": channels, "title": None,
        "axis": {"labelAngle": -40, "labelLimit": 110, "grid": False, "orient": "top"},
    }  # fmt: skip
    y: Spec = {
        "field": "reason", "type": "nominal", "sort": shown, "title": None,
        "axis": {"labelLimit": 130, "labelColor": "var(--ink)", "grid": False},
    }  # fmt: skip
    return Section(name, title, says, [
        Chart(
            "reasons", "Reasons by the channel of the first touchpoint",
            "A grid of reasons and channels; the stronger a cell, the larger its share of what "
            "the channel's leads were turned down for.",
            heat(values, x, y,
                 {"field": "share", "type": "quantitative", "scale": {"range": [0.08, 1]}},
                 [label("reason", "Reason"), label("channel", "Channel"),
                  field("times", "Times", COUNT), field("share", "Of the channel's", SHARE)]),
            Table("Times by reason and channel", [
                Column("Reason"), *(Column(channel, "count") for channel in channels),
                Column("All", "count"),
            ], [[reason, *(cells[reason, channel] for channel in channels), totals[reason]]
                for reason in shown]),
        ),
        *_unmapped(facts),
    ], "leadstream reasons --by channel")  # fmt: skip


def _unmapped(facts: Facts) -> list[Table]:
    rows = facts.feedback.unmapped
    if not rows:
        return []
    return [Table(
        "Wordings that mean nothing to the model",
        [Column("Wording"), Column("Led to"), Column("Times", "count"), Column("Latest", "instant")],
        [[row["reason_given"], row["to_stage"], row["transitions"], row["latest_at"]]
         for row in rows[:REASONS_SHOWN]],
    )]  # fmt: skip


def reps(facts: Facts) -> Section:
    """How each rep takes and answers leads."""
    rows = [row for row in facts.feedback.accepted_by_owner if row["answered"]]
    name, title = "reps", "Reps"
    if not rows:
        return Section(name, title, "No rep has answered an MQL yet.")
    seconds: dict[str, list[int]] = {}
    for row in facts.handoffs.responses:
        seconds.setdefault(row["value"], []).extend(row["seconds"])
    kept = {row["owner"] or "(none)": row["attainment"] for row in facts.handoffs.by_owner}
    values = []
    for row in rows:
        found = rate(row["accepted"], row["answered"])
        values.append(row | {"accepts": found.value, "low": found.low, "high": found.high})
    values.sort(key=lambda row: (-row["accepts"], row["value"]))
    return Section(
        name, title,
        "Accepted shares are of the MQLs that the rep answered; procedural rejections do not "
        "count. Reps do not get the same leads: overlapping intervals are no difference.",
        [Chart(
            "reps", "MQLs accepted of those answered, by rep",
            "Shares with their 95% intervals, the rep who accepts most first.",
            intervals(values, "value", "accepts", "low", "high", [
                label("value", "Rep"), field("accepts", "Accepts", SHARE),
                field("low", "At least", SHARE), field("high", "At most", SHARE),
                field("answered", "Answered", COUNT), field("sqls", "Became SQL", COUNT),
            ]),
            Table("Reps", [
                Column("Rep"), Column("Answered", "count"), Column("Accepted", "count"),
                Column("SQLs", "count"), Column("Accepts", "share"), Column("at least", "share"),
                Column("at most", "share"), Column("Deadlines kept", "share"),
                Column("Median answer", "seconds"),
            ], [[row["value"], row["answered"], row["accepted"], row["sqls"], row["accepts"],
                 row["low"], row["high"], kept.get(row["value"]),
                 median(seconds[row["value"]]) if seconds.get(row["value"]) else None]
                for row in values]),
        )], "leadstream sla --by owner",
    )  # fmt: skip
