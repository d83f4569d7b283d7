"""What sales says of the leads: reasons by source, and how reps take them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from leadstream.infra.report.blocks import Chart, Column, Section, Spec, Table
from leadstream.infra.report.charts import COUNT, SHARE, field, heat, intervals, label
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, percent
from leadstream.sinks.feedback.reps import EARLY_HOURS

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
        "field": "channel", "type": "nominal", "title": None, "scale": {"domain": channels},
        "axis": {"labelAngle": -40, "labelLimit": 110, "grid": False, "orient": "top"},
    }  # fmt: skip
    y: Spec = {
        "field": "reason", "type": "nominal", "title": None, "scale": {"domain": shown},
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
        [Column("Wording"), Column("Led to"), Column("Times", "count"),
         Column("Latest", "instant")],
        [[row["reason_given"], row["to_stage"], row["transitions"], row["latest_at"]]
         for row in rows[:REASONS_SHOWN]],
    )]  # fmt: skip


def reps(facts: Facts) -> Section:
    """How each rep takes and answers leads."""
    rows = [row for row in facts.feedback.reps if row["owner"] != "(none)" and row["leads"]]
    name, title = "reps", "Reps"
    if not rows:
        return Section(name, title, "No rep has been handed an MQL yet.")
    told = [row for row in rows if row["sal_adjusted"] is not None]
    told.sort(key=lambda row: (-row["sal_adjusted"], row["owner"]))
    chart = Chart(
        "reps", "MQLs accepted of those answered, adjusted for their grades",
        "Shares with their 95% intervals, the rep who accepts most first.",
        intervals(told, "owner", "sal_adjusted", "sal_adjusted_low", "sal_adjusted_high", [
            label("owner", "Rep"), field("sal_adjusted", "Accepts, adjusted", SHARE),
            field("sal_adjusted_low", "At least", SHARE),
            field("sal_adjusted_high", "At most", SHARE), field("sal_rate", "As counted", SHARE),
            field("sal_decided", "Answered", COUNT), label("sal_standing", "Beside the others"),
        ]),
        Table("Accepted, became SQL and won, adjusted for grades", [
            Column("Rep"), Column("Answered", "count"), Column("Accepts", "share"),
            Column("adjusted", "share"), Column("Beside the others"), Column("SQL", "share"),
            Column("adjusted", "share"), Column("Beside the others"), Column("Won", "share"),
            Column("adjusted", "share"), Column("Beside the others"),
        ], [[row["owner"], row["sal_decided"],
             *(row[f"{step}_{key}"] for step in ("sal", "sql", "won")
               for key in ("rate", "adjusted", "standing"))] for row in told]),
        "Adjusted: what the share would be with the mix of grades that all reps have. Overlapping "
        "intervals are no difference.",
    )  # fmt: skip
    work = Table(
        "How reps work what they are handed",
        [Column("Rep"), Column("MQLs", "count"), Column("In time", "share"),
         Column("Median answer, business time", "seconds"), Column("Never answered", "count"),
         Column("Median activities", "number"), Column("Given up early", "share")],
        [[row["owner"], row["leads"], row["in_time"], row["median_response_s"],
          row["never_answered"], row["median_activities"], row["early_share"]] for row in rows],
    )  # fmt: skip
    says = (
        "Reps do not get the same leads, so shares are adjusted for grades. Procedural rejections "
        f"do not count. Given up early: turned down within {EARLY_HOURS} h."
    )
    return Section(name, title, says, [*([chart] if told else []), work], "leadstream reps")
