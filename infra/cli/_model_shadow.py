"""`leadstream model shadow`: how far a candidate agrees with the active versions, live."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import UserError
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import print_json, shown
from leadstream.infra.cli._model_diff import TEXT_OR_JSON
from leadstream.sinks.shadow_answers import Agreement, ShadowMql, agreement, candidates


@click.command()
@click.argument("version", required=False)
@clickhouse_options
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Name at most so many leads each in the text; 0 names all. JSON names all.",
)
@TEXT_OR_JSON
@click.pass_context
def shadow(
    ctx: click.Context,
    version: str | None,
    data_dir: Path | None,
    clickhouse_url: str | None,
    limit: int,
    form: str,
) -> None:
    """Tell the MQLs that only a candidate in the shadow made, or only the active versions.

    VERSION is the candidate's; without it, the one that recorded something last. Setting
    shadow_model_path runs a candidate; each lead counts from when the candidate follows it.
    """
    with reader(ctx, data_dir, clickhouse_url) as client:
        known = candidates(client)
        if not known or (version is not None and version not in known):
            raise UserError(_unknown(version, known))
        found = agreement(client, version or known[0])
    if form == "json":
        print_json(_as_object(found))
    else:
        _print_text(found, limit)


def _unknown(version: str | None, known: Sequence[str]) -> str:
    if known:
        return f'no candidate "{version}" has run in the shadow; there are {", ".join(known)}'
    return (
        "no candidate has run in the shadow: set shadow_model_path (LEADSTREAM_SHADOW_MODEL_PATH) "
        "for the workers, and let the sink run"
    )


def _as_object(found: Agreement) -> dict[str, Any]:
    return {
        "candidate": found.candidate,
        "leads": found.leads,
        "both": len(found.both),
        "same_instant": sum(mql.active_at == mql.candidate_at for mql in found.both),
        "only_active": [dataclasses.asdict(mql) for mql in found.only_active],
        "only_candidate": [dataclasses.asdict(mql) for mql in found.only_candidate],
        "another_time": [
            dataclasses.asdict(mql) for mql in found.both if mql.active_at != mql.candidate_at
        ],
    }


def _print_text(found: Agreement, limit: int) -> None:
    same = sum(mql.active_at == mql.candidate_at for mql in found.both)
    agreed = f"{len(found.both):,} of {len(found.mqls):,} MQLs are made by both"
    click.echo(f"Candidate {found.candidate} follows {found.leads:,} leads: {agreed}")
    click.echo(f"{same:,} of them at the same instant")
    for title, mqls in (
        ("Only the active versions", found.only_active),
        ("Only the candidate", found.only_candidate),
    ):
        click.echo(f"{title}: {len(mqls):,}")
        for mql in mqls[: limit or None]:
            click.echo(f"  {_line(mql)}")
        if limit and len(mqls) > limit:
            click.echo(f"  and {len(mqls) - limit:,} more (--limit 0 names all)")


def _line(mql: ShadowMql) -> str:
    criterion = mql.active_criterion if mql.active_at else mql.candidate_criterion
    return f"{shown(mql.lead_id)}  {shown(mql.active_at or mql.candidate_at)}  {shown(criterion)}"
