"""How a backtest is told: as text for people, as one JSON object for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import click

from leadstream.infra.cli._format import print_rows
from leadstream.schemas.codec import iso
from leadstream.streams.backtest.figures import Hits, Named, OfModel
from leadstream.streams.backtest.run import Comparison

CAVEATS: Final = (
    "What sales did in this history was done to the leads that the model of that time handed over. "
    "A lead that only the candidate hands over was never worked as an MQL, so its missing SQL is "
    "no proof against it; precision of the candidate is a lower bound, recall of the model that "
    "was active is flattered.",
    "MQLs shortly before the end had no time yet to become SQLs, under either model.",
)
_ABSENT: Final = "-"


def as_object(found: Comparison) -> dict[str, Any]:
    """Return a comparison with every lead named; shares are fractions, times ISO 8601."""
    changes = found.changes
    return {
        "first_at": iso(found.first_at),
        "last_at": iso(found.last_at),
        "leads": found.leads,
        "events": found.events,
        "against": _model_object(found.against),
        "candidate": _model_object(found.candidate),
        "gained": [_named_object(named) for named in changes.gained],
        "lost": [_named_object(named) for named in changes.lost],
        "another_time": {
            "earlier": sum(moved.days_won > 0 for moved in changes.moved),
            "earlier_median_days": changes.earlier_days,
            "later": sum(moved.days_won < 0 for moved in changes.moved),
            "later_median_days": changes.later_days,
            "same_instant": changes.unmoved,
            "median_days_won": changes.days_won,
            "leads": [
                dataclasses.asdict(moved)
                | {"at": iso(moved.at), "candidate_at": iso(moved.candidate_at)}
                for moved in changes.moved
            ],
        },
        "caveats": list(CAVEATS),
    }


def _model_object(model: OfModel) -> dict[str, Any]:
    return {
        "version": model.version,
        "mql_leads": model.sql.mqls,
        "handoffs": model.handoffs,
        "sql": _hits_object(model.sql),
        "won": _hits_object(model.won),
        "by_grade": {
            grade: dataclasses.asdict(of) | {"to_sql": of.to_sql, "to_won": of.to_won}
            for grade, of in model.by_grade.items()
        },
        "by_criterion": dict(model.by_criterion.most_common()),
        "sla_load": dataclasses.asdict(model.load),
    }


def _hits_object(hits: Hits) -> dict[str, Any]:
    return dataclasses.asdict(hits) | {"precision": hits.precision, "recall": hits.recall}


def _named_object(named: Named) -> dict[str, Any]:
    return dataclasses.asdict(named) | {"at": iso(named.at)}


def print_text(found: Comparison, limit: int) -> None:
    """Print a comparison with at most `limit` leads of each kind; 0: all."""
    old, new = found.against, found.candidate
    click.echo(
        f"Candidate {new.version} against {old.version}: {found.leads:,} leads, "
        f"{found.events:,} events, {iso(found.first_at)[:10]} to {iso(found.last_at)[:10]}\n"
    )
    print_rows(
        ("", f"against {old.version}", f"candidate {new.version}", "change"),
        _rows(old, new),
        "table",
    )
    _print_named(
        f"Gained: {_sum_of(found.changes.gained)} only the candidate hands over",
        found.changes.gained,
        limit,
    )
    _print_named(
        f"Lost: {_sum_of(found.changes.lost)} only {old.version} hands over",
        found.changes.lost,
        limit,
    )
    _print_moved(found, limit)
    click.echo("\nWhat a backtest cannot know:")
    for caveat in CAVEATS:
        click.echo(f"- {caveat}")


def _rows(old: OfModel, new: OfModel) -> list[tuple[str, str, str, str]]:
    rows = [
        _count("leads handed over (MQL)", old.sql.mqls, new.sql.mqls),
        _count("handoffs, later cycles too", old.handoffs, new.handoffs),
        _share("MQLs that became SQL (precision)", old.sql.precision, new.sql.precision),
        _share("SQLs that were MQLs before (recall)", old.sql.recall, new.sql.recall),
        _share("MQLs that were won (precision)", old.won.precision, new.won.precision),
        _share("won that were MQLs before (recall)", old.won.recall, new.won.recall),
    ]
    for grade, before in old.by_grade.items():
        after = new.by_grade[grade]
        if before.mqls or after.mqls:
            rows += [
                _count(f"grade {grade}: MQLs", before.mqls, after.mqls),
                _share(f"grade {grade}: MQL to SQL", before.to_sql, after.to_sql),
                _share(f"grade {grade}: MQL to won", before.to_won, after.to_won),
            ]
    policies = dict.fromkeys((*old.load.by_policy, *new.load.by_policy))
    rows += [
        _count(f"SLA clocks of {name}", *(side.load.by_policy.get(name, 0) for side in (old, new)))
        for name in policies
    ]
    return [
        *rows,
        _number("SLA clocks per business day, mean", old.load.mean_per_day, new.load.mean_per_day),
        _count("SLA clocks per business day, most", old.load.max_per_day, new.load.max_per_day),
    ]


def _count(what: str, old: int, new: int) -> tuple[str, str, str, str]:
    return what, f"{old:,}", f"{new:,}", f"{new - old:+,}" if new != old else "0"


def _number(what: str, old: float | None, new: float | None) -> tuple[str, str, str, str]:
    before, after = (_ABSENT if value is None else f"{value:,.2f}" for value in (old, new))
    return what, before, after, _ABSENT if old is None or new is None else f"{new - old:+,.2f}"


def _share(what: str, old: float | None, new: float | None) -> tuple[str, str, str, str]:
    before, after = (_ABSENT if value is None else f"{100 * value:.1f}%" for value in (old, new))
    change = _ABSENT if old is None or new is None else f"{100 * (new - old):+.1f}"
    return what, before, after, change


def _sum_of(named: Sequence[Named]) -> str:
    sql, won = sum(lead.sql for lead in named), sum(lead.won for lead in named)
    return f"{len(named):,} leads ({sql} became SQL later, {won} won) that"


def _print_named(title: str, named: Sequence[Named], limit: int) -> None:
    click.echo(title)
    weightiest = sorted(named, key=lambda lead: (not lead.won, not lead.sql, lead.lead_id))
    for lead in weightiest[: limit or None]:
        fate = ", won" if lead.won else ", SQL" if lead.sql else ""
        click.echo(f"  {lead.lead_id}  {iso(lead.at)}  grade {lead.grade}, {lead.criterion}{fate}")
    _say_more(len(named), limit)


def _print_moved(found: Comparison, limit: int) -> None:
    changes = found.changes
    earlier = sum(moved.days_won > 0 for moved in changes.moved)
    later = len(changes.moved) - earlier
    click.echo(
        f"At another time: {earlier:,} leads earlier{_days(changes.earlier_days)}, "
        f"{later:,} later{_days(changes.later_days)}; {changes.unmoved:,} at the same instant"
    )
    widest = sorted(changes.moved, key=lambda moved: (-abs(moved.days_won), moved.lead_id))
    for moved in widest[: limit or None]:
        way = "earlier" if moved.days_won > 0 else "later"
        click.echo(
            f"  {moved.lead_id}  {iso(moved.at)} -> {iso(moved.candidate_at)}  "
            f"{abs(moved.days_won):.1f} days {way}"
        )
    _say_more(len(widest), limit)


def _days(median: float | None) -> str:
    return "" if median is None else f" (median {median:.1f} days)"


def _say_more(count: int, limit: int) -> None:
    if limit and count > limit:
        click.echo(f"  and {count - limit:,} more (--limit 0 names all)")
