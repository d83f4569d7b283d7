"""`leadstream lead`: everything about one lead, and why it is where it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import (
    ABSENT,
    console,
    format_option,
    print_json,
    print_rows,
    shown,
)
from leadstream.infra.cli._lead_words import told
from leadstream.infra.cli._people import is_address, lead_of_address
from leadstream.sinks.answers import lead

RULES_SHOWN: Final = 5
STATE_SHOWN: Final = (
    ("stage", "stage_since"),
    ("cycle", "mql_count"),
    ("score", "grade"),
    ("fit", "engagement"),
    ("owner", "reason"),
    ("channel", "campaign"),
    ("buyer_stage", "track"),
    ("first_event_at", "last_event_at"),
    ("event_count", "sla_due_at"),
    ("opportunity_id", "amount"),
    ("merged_into", "model_version"),
)
_SUMS: Final = frozenset({"(rest)", "(base)"})
"""Of a predicted score's parts, those that are no feature."""
NONE_SHOWN: Final = frozenset({"channel", "campaign"})


@click.command("lead")
@click.argument("lead_id")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context, lead_id: str, form: str, data_dir: Path | None, clickhouse_url: str | None
) -> None:
    """Show a lead's state, its timeline, and why each transition happened.

    An e-mail address will do where one lead states it, with the email_key that hides it.

    CSV holds the timeline.
    """
    with reader(ctx, data_dir, clickhouse_url) as client:
        found = lead(client, lead_id)
        if found is None and is_address(lead_id):
            settings = settings_of(ctx, data_dir=data_dir, clickhouse_url=clickhouse_url)
            found = lead(client, lead_of_address(settings, client, lead_id))
    if found is None:
        raise UserError(
            f'no lead "{lead_id}": `leadstream query "FROM lead_state FINAL SELECT lead_id, stage '
            'LIMIT 10"` lists some'
        )
    if form == "json":
        print_json(found)
    elif form == "csv":
        columns = ("at", "kind", "what", "detail")
        print_rows(columns, [[entry[c] for c in columns] for entry in found["timeline"]], form)
    else:
        _print_text(console(), found)


def _print_text(out: Console, found: dict[str, Any]) -> None:
    out.print(Text(f"Lead {shown(found['lead_id'])}", style="bold"))
    if found["state"]:
        out.print(_state_table(found["state"]))
        _print_shortfall(out, found["state"])
    out.print(Text("Why", style="bold"))
    for transition in found["transitions"]:
        _print_transition(out, transition)
    if not found["transitions"]:
        out.print(Text("  no transition yet"))
    out.print(Text("\nTimeline", style="bold"))
    timeline = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for entry in found["timeline"]:
        detail = ", ".join(f"{name} {shown(value)}" for name, value in entry["detail"].items())
        timeline.add_row(
            *(Text(text) for text in ("", shown(entry["at"]), entry["kind"], shown(entry["what"]))),
            Text(detail, style="dim"),
        )
    out.print(timeline)


def _state_table(state: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False)
    for pair in STATE_SHOWN:
        cells = []
        for name in pair:
            value = state[name]
            absent = "(none)" if name in NONE_SHOWN else ABSENT
            cells += [Text(name.replace("_", " "), style="dim")]
            cells += [Text(absent if value is None else shown(value))]
        table.add_row(*cells)
    return table


def _print_shortfall(out: Console, state: dict[str, Any]) -> None:
    if state.get("hot"):
        out.print(Text("Hot: more touchpoints than the model lets count; a bot, often\n"))
    if not state.get("next_mql"):
        return
    out.print(Text("What it lacks to become an MQL", style="bold"))
    for lack in state["next_mql"]:
        out.print(Text(f"  {lack}"))
    out.print()


def _print_transition(out: Console, transition: dict[str, Any]) -> None:
    at, origin, target = (shown(transition[k]) for k in ("occurred_at", "from_stage", "to_stage"))
    out.print(Text(f"  {at}  {told(transition)}"))
    score = f"score {shown(transition['score'])}, grade {transition['grade']}"
    steps = f"{origin} -> {target}, {score}, model {shown(transition['model_version'])}"
    out.print(Text(f"      {steps}", style="dim"))
    for rule in transition["contributions"][:RULES_SHOWN]:
        hits = f"{rule['hits']} event{'s' if rule['hits'] != 1 else ''}"
        points = f"{_signed(rule['points']):>8} {shown(rule['rule'])}"
        out.print(Text(f"      {points} ({shown(rule['group'])}, {hits})", style="dim"))
    more = len(transition["contributions"]) - RULES_SHOWN
    if more > 0:
        out.print(Text(f"      and {more} more rules", style="dim"))
    _print_prediction(out, transition)


def _print_prediction(out: Console, transition: dict[str, Any]) -> None:
    if transition["predicted"] is None:
        return
    told = f"predicted score {transition['predicted']:.3f}, by log-odds:"
    out.print(Text(f"      {told}", style="dim"))
    named = [part for part in transition["predicted_contributions"] if part["feature"] not in _SUMS]
    for part in named[:RULES_SHOWN]:
        feature = f"{shown(part['feature'])} = {part['value']:.4g}"
        out.print(Text(f"      {_signed(part['log_odds']):>8} {feature}", style="dim"))
    rest = math.fsum(
        part["log_odds"]
        for part in transition["predicted_contributions"]
        if part not in named[:RULES_SHOWN]
    )
    out.print(Text(f"      {_signed(rest):>8} all else, and an average lead", style="dim"))


def _signed(points: float | None) -> str:
    return "?" if points is None else f"{points:+.4g}"
