"""How long analysts wait: each answer about attribution, over made-up journeys in chDB.

Ten touchpoints a lead in a year, a twentieth of the leads won, and the stages before. The data is
made by the engine itself, so that ten million rows take a minute. Every answer is asked in turn,
several rounds, without the engine's cache of conditions; told are the median, least and most.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _lab import arguments, report

from leadstream.schemas.settings import Settings
from leadstream.sinks.answers import funnel
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import ORDERS, RULES, SHAPLEY, Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate

TOUCHES_A_LEAD = 10
WON_EVERY = 20
ROWS_A_STATEMENT = 1_000_000


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="use or leave the data here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = options.keep or Path(temporary)
        is_made = (path / "made").exists()
        settings = Settings(data_dir=path)
        with ClickHouse(settings) as client:
            migrate(client)
            if not is_made:
                make(client, options.leads)
                (path / "made").touch()
            figures = measured(client, options.rounds)
    report("analytics", figures, as_json=options.json)


def measured(client: ClickHouse, rounds: int) -> dict[str, Any]:
    client.command("SET use_query_condition_cache = 0")
    asked = questions(client)
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, ask in asked.items():
            began = time.monotonic()
            ask()
            taken[name].append(time.monotonic() - began)
    figures: dict[str, Any] = {"rounds": rounds}
    for table in ("touchpoints", "transitions", "lead_state"):
        rows, size = client.query(
            "SELECT sum(rows), sum(data_compressed_bytes) FROM system.parts "
            "WHERE database = {database:String} AND table = {table:String} AND active",
            {"database": client.database, "table": table},
        ).rows[0]
        figures[f"{table}_rows"], figures[f"{table}_bytes_a_row"] = rows, round(size / rows, 1)
    figures["conversions_won"] = client.query(
        "SELECT count() FROM v_conversions WHERE conversion = 'won'"
    ).rows[0][0]
    for name, times in taken.items():
        figures[f"{name}_s"] = (
            f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
        )
    return figures


def questions(client: ClickHouse) -> dict[str, Callable[[], object]]:
    asked: dict[str, Callable[[], object]] = {}
    for model in (*RULES, SHAPLEY):
        asked[model] = lambda model=model: attribution(client, Question(), model)  # type: ignore[misc]
    asked["all_rules"] = lambda: compare(client, Question(), models=RULES)
    for order in ORDERS:
        asked[f"markov_{order}"] = lambda order=order: attribution(  # type: ignore[misc]
            client, Question(order=order), "markov"
        )
    asked["mql_linear"] = lambda: attribution(client, Question("mql"), "linear")
    asked["by_campaign"] = lambda: attribution(client, Question(by="campaign"), "linear")
    asked["paths"] = lambda: top_paths(client, Question(currency="EUR"), 20)
    asked["assists"] = lambda: assists(client, Question())
    asked["funnel"] = lambda: funnel(client, "channel")
    return asked


def make(client: ClickHouse, leads: int) -> None:
    """Fill the tables; the same rows every time."""
    for first in range(0, leads * TOUCHES_A_LEAD, ROWS_A_STATEMENT):
        rows = min(ROWS_A_STATEMENT, leads * TOUCHES_A_LEAD - first)
        client.command(
            "INSERT INTO touchpoints (lead_id, occurred_at, event_id, source_event_id, type, "
            "channel, source, medium, campaign, content, asset) "
            f"SELECT {_lead(f'number % {leads}')}, "
            f"{_begin(f'number % {leads}')} + toIntervalSecond(sipHash64(number) % (100 * 86400)), "
            "reinterpret(sipHash128(number), 'UUID'), toString(number), "
            "['page_viewed', 'page_viewed', 'email_opened', 'content_downloaded', 'meeting_held',"
            " 'email_delivered'][1 + sipHash64(number, 1) % 6], "
            "['direct', 'paid search', 'organic search', 'email', 'social', 'referral', 'webinar', "
            "'event', 'display', 'partner', 'affiliate', ''][1 + least(sipHash64(number, 2) % 12, "
            "sipHash64(number, 3) % 16)], "
            "['google', 'bing', 'linkedin', 'newsletter'][1 + sipHash64(number, 4) % 4], "
            "['cpc', 'organic', 'email'][1 + sipHash64(number, 5) % 3], "
            "concat('campaign-', toString(sipHash64(number, 6) % 200)), '', "
            "concat('asset-', toString(sipHash64(number, 7) % 1000)) "
            f"FROM numbers({first}, {rows})"
        )
    client.command(
        "INSERT INTO transitions (lead_id, seq, id, revision, cycle, to_stage, occurred_at, "
        "amount, currency) "
        f"SELECT {_lead('number')}, step - 1, reinterpret(sipHash128(number, step), 'UUID'), "
        "step, 1, "
        "['known', 'mql', 'sal', 'sql', 'opportunity', 'customer'][step], "
        f"{_begin('number')} + toIntervalDay([0, 30, 31, 45, 60, 100][step]), "
        "if(step = 6, toDecimal64(100 + number % 100000, 2), NULL), if(step = 6, 'EUR', '') "
        f"FROM numbers({leads}) ARRAY JOIN arrayFilter(step -> number % [1, 5, 5, 10, 15, "
        f"{WON_EVERY}][step] = 0 OR number % {WON_EVERY} = 0, range(1, 7)) AS step"
    )
    client.command(
        "INSERT INTO lead_state (lead_id, revision, stage, channel, reached) "
        f"SELECT {_lead('number')}, 1, if(number % {WON_EVERY} = 0, 'customer', 'known'), "
        "['direct', 'paid search', 'email'][1 + number % 3], "
        f"map('known', {_begin('number')}, if(number % {WON_EVERY} = 0, 'customer', 'mql'), "
        f"{_begin('number')} + toIntervalDay(100)) FROM numbers({leads})"
    )


def _lead(number: str) -> str:
    return f"concat('lead-', leftPad(toString({number}), 8, '0'))"


def _begin(number: str) -> str:
    return f"(toDateTime64('2025-06-01 00:00:00', 3, 'UTC') + toIntervalHour(({number}) % 6360))"


if __name__ == "__main__":
    main()
