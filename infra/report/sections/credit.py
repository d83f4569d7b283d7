"""What conversions are due to: ten models side by side, costs, and the paths that lead there."""

from __future__ import annotations

from typing import Final

from leadstream.infra.report.blocks import Chart, Column, Section, Table
from leadstream.infra.report.charts import COLOURS, dots, field, label
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, listed
from leadstream.sinks.attribution.questions import LOOKBACK_DAYS, MODELS

_FAMILIES: Final = {
    "first": "who opens", "last": "who closes", "last_non_direct": "who closes",
    "linear": "shared by rule", "time_decay": "shared by rule", "u_shaped": "shared by rule",
    "w_shaped": "shared by rule", "full_path": "shared by rule",
    "markov": "learnt from all paths", "shapley": "learnt from all paths",
}  # fmt: skip
_COLOUR_OF: Final = dict(zip(dict.fromkeys(_FAMILIES.values()), COLOURS, strict=False))
CHANNELS_SHOWN: Final = 12
CONVERSION_WORDS: Final = {
    "mql": ("MQL", "MQLs"), "sql": ("SQL", "SQLs"),
    "opportunity": ("opportunity", "opportunities"), "won": ("win", "wins"),
}  # fmt: skip


def attribution(facts: Facts) -> Section:
    """Credits of each channel under each model."""
    rows = facts.credit.models
    name, title = "attribution", "Attribution"
    one, many = CONVERSION_WORDS[facts.asked.conversion]
    if not rows:
        return Section(name, title, f"There is no {one} yet to attribute.")
    models = [model for model in MODELS if model in rows[0]]
    total = sum(row["linear"] for row in rows)
    values = [
        {"channel": row["channel"], "model": model, "family": _FAMILIES[model],
         "credit": float(row[model])}
        for row in rows[:CHANNELS_SHOWN] for model in models
    ]  # fmt: skip
    leading = [row["channel"] for row in sorted(rows, key=lambda row: -row["linear"])]
    says = (
        f"{counted(int(total), one, many)} within {LOOKBACK_DAYS} days of their touches. Linear "
        f"credit goes most to {listed(leading[:3])}. Where the dots of a channel lie far apart, "
        "what it is worth depends on the model: look before moving money."
    )
    table = Table(
        f"{many[0].upper()}{many[1:]} credited by each model",
        [Column("Channel"), *(Column(model.replace("_", " "), "number") for model in models)],
        [[row["channel"], *(row[model] for model in models)] for row in rows],
    )
    chart = Chart(
        "models", f"{many[0].upper()}{many[1:]} credited to each channel, by model",
        f"Dots of the {len(models)} models for each channel; the models agree where they lie close "
        "together.",
        dots(values, "channel", field("credit", f"{many[0].upper()}{many[1:]}"), "family",
             _COLOUR_OF, [label("channel", "Channel"), label("model", "Model"),
                          label("family", "Kind"), field("credit", "Credit", ",.2f")]),
        table,
        legend=_COLOUR_OF,
    )  # fmt: skip
    return Section(
        name, title, says, [chart, *_costs(facts)],
        f"leadstream attribution --model all --conversion {facts.asked.conversion}",
    )  # fmt: skip


def _costs(facts: Facts) -> list[Table]:
    rows = facts.credit.linear
    if not rows or "cost" not in rows[0]:
        return []
    return [Table(
        f"What channels cost and bring, {facts.currency} (linear)",
        [Column("Channel"), Column("Credit", "number"), Column("Revenue", "money"),
         Column("Cost", "money"), Column("Cost of one", "money"), Column("Return", "number")],
        [[row["channel"], row["conversions"], row["revenue"], row["cost"],
          row["cost_per_conversion"], row["return_on_cost"]] for row in rows],
    )]  # fmt: skip


def paths(facts: Facts) -> Section:
    """The most frequent paths, and who opens, assists and closes."""
    rows = facts.credit.paths
    name, title = "paths", "Paths"
    one, many = CONVERSION_WORDS[facts.asked.conversion]
    if not rows:
        return Section(name, title, f"There is no {one} yet, so no path leads to one.")
    frequent = Table(
        f"The most frequent paths to {many}",
        [Column("Path"), Column(many[0].upper() + many[1:], "count"), Column("Share", "share"),
         Column("Touches", "number"), Column("Median days", "number"),
         Column(f"Revenue {facts.currency}".rstrip(), "money")],
        [[row["path"], row["conversions"], row["share"], row["touches"],
          row["median_days_to_convert"], row["revenue"]] for row in rows],
        frozenset({2}),
    )  # fmt: skip
    roles = Table(
        "Who opens, carries and closes: paths with the channel first, before the end, and last",
        [Column("Channel"), Column("First", "count"), Column("Assists", "count"),
         Column("Last", "count"), Column("Alone", "count"), Column("Assists per close", "number")],
        [[row["value"], row["first"], row["assisted"], row["last"], row["alone"],
          row["assisted_to_last"]] for row in facts.credit.assists],
    )  # fmt: skip
    top = rows[0]
    says = (
        f"The most frequent path is {top['path']} ({top['conversions']:,}). Channels with more "
        "than one assist per close open and carry deals that others close."
    )
    return Section(
        name, title, says, [frequent, roles],
        f"leadstream attribution --paths --conversion {facts.asked.conversion}",
    )  # fmt: skip
