"""How long analysts wait: each command's answer and each view, over made-up leads in chDB.

Ten touchpoints a lead in a year, a fifth of the leads handed over, a twentieth won, with the
stages, clocks and leaks on the way. The data is made by the engine itself, so that ten million rows
take a minute. Every answer is asked in turn, several rounds, without the engine's cache of
conditions; of a view all rows and columns are. Told are the median, least and most.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _fit import spread
from _lab import arguments, report

from leadstream.schemas.settings import Settings
from leadstream.sinks.answers import funnel, lead
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import ORDERS, RULES, SHAPLEY, Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.described import described
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.feedback.rules import rules
from leadstream.sinks.handoffs import attainment, leak_worth, open_leaks, speed_to_lead
from leadstream.sinks.losses import losses
from leadstream.sinks.migrate import VIEW_VERSION, migrate, shipped_scripts
from leadstream.sinks.reasons import reasons
from leadstream.sinks.velocity.cohorts import cohorts, curve_rows
from leadstream.sinks.velocity.forecast import forecast
from leadstream.sinks.velocity.pipeline import pipeline
from leadstream.sinks.velocity.stays import time_in_stage
from leadstream.sinks.velocity.steps import steps

TOUCHES_A_LEAD = 10
WON_EVERY = 20
MODEL = "2026-01"
ROWS_A_STATEMENT = 1_000_000
_NEVER = "toDateTime64(0, 3, 'UTC')"
_GRADE = "substring('ABCDF', 1 + sipHash64(number, 8) % 5, 1)"
_OWNER = "concat('rep-', toString(sipHash64(number, 9) % 40))"


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
    if not options.json:
        figures |= {
            f"{name}, s": f"{of['median']:.2f} ({of['min']:.2f} to {of['max']:.2f})"
            for name, of in figures.pop("seconds").items()
        }
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
    figures["seconds"] = {name: spread(times) for name, times in taken.items()}
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
    return asked | of_commands(client) | of_views(client)


def of_commands(client: ClickHouse) -> dict[str, Callable[[], object]]:
    return {
        "funnel": lambda: funnel(client, "channel"),
        "funnel_source_by_country": lambda: funnel(client, "source", "attribute:country"),
        "steps": lambda: steps(client, "channel"),
        "time_in_stage": lambda: time_in_stage(client, "channel"),
        "pipeline": lambda: pipeline(client),
        "cohorts": lambda: cohorts(client, "month", "channel"),
        "curve": lambda: curve_rows(client, "mql_to_sql"),
        "forecast": lambda: forecast(client, "mql_to_sql"),
        "sla_by_owner": lambda: attainment(client, "owner"),
        "sla_by_hour": lambda: attainment(client, "hour"),
        "speed_to_lead": lambda: speed_to_lead(client),
        "leaks": lambda: open_leaks(client, limit=50),
        "leaks_worth": lambda: leak_worth(client),
        "leaks_lost": lambda: losses(client),
        "reasons": lambda: reasons(client, ("source",)),
        "rules": lambda: rules(client, MODEL),
        "reps": lambda: reps(client),
        "lead": lambda: lead(client, "lead-00000020"),
    }


def of_views(client: ClickHouse) -> dict[str, Callable[[], object]]:
    """Return a question for each view that takes no parameters: its every column, summed."""
    views = {
        script.name.removesuffix(".sql"): described(script.text).parameters
        for script in shipped_scripts()
        if script.version == VIEW_VERSION
    }
    return {
        name: lambda name=name: client.query(f"SELECT sum(cityHash64(*)) FROM {name}")  # type: ignore[misc]
        for name, parameters in views.items()
        if not parameters
    }


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
        "amount, currency, grade, owner, cause, model_version, `contributions.rule`, "
        "`contributions.group`, `contributions.raw`, `contributions.capped`, "
        "`contributions.points`, `contributions.hits`, `contributions.event_ids`) "
        f"SELECT {_lead('number')}, step - 1, reinterpret(sipHash128(number, step), 'UUID'), "
        "step, 1, "
        "['known', 'mql', 'sal', 'sql', 'opportunity', 'customer'][step], "
        f"{_begin('number')} + toIntervalDay([0, 30, 31, 45, 60, 100][step]), "
        "if(step = 6, toDecimal64(100 + number % 100000, 2), NULL), if(step = 6, 'EUR', ''), "
        f"{_GRADE}, {_OWNER}, if(step = 2, 'criteria', 'crm'), '{MODEL}', "
        "if(step = 2, arrayMap(n -> concat('rule-', toString((number + n * 7) % 20)), range(4)), "
        "[]) AS rules, rules, arrayMap(rule -> 10, rules) AS points, points, points, "
        "arrayMap(rule -> 1, rules), arrayMap(rule -> [''], rules) "
        f"FROM numbers({leads}) ARRAY JOIN arrayFilter(step -> number % [1, 5, 5, 10, 15, "
        f"{WON_EVERY}][step] = 0 OR number % {WON_EVERY} = 0, range(1, 7)) AS step"
    )
    client.command(
        "INSERT INTO lead_state (lead_id, revision, stage, stage_since, channel, source, grade, "
        "owner, reached, attributes, score_as_of, last_event_at) "
        f"SELECT {_lead('number')}, 1, multiIf(number % {WON_EVERY} = 0, 'customer', "
        f"number % 10 = 0, 'sql', number % 5 = 0, 'mql', 'known'), "
        f"{_begin('number')}, ['direct', 'paid search', 'email'][1 + number % 3], "
        f"['google', 'bing', 'newsletter'][1 + number % 3], {_GRADE}, {_OWNER}, "
        f"mapFilter((stage, at) -> at != {_NEVER}, map('known', {_begin('number')}, "
        f"'mql', if(number % 5 = 0, {_begin('number')} + toIntervalDay(30), {_NEVER}), "
        f"'sql', if(number % 10 = 0, {_begin('number')} + toIntervalDay(45), {_NEVER}), "
        f"'customer', if(number % {WON_EVERY} = 0, "
        f"{_begin('number')} + toIntervalDay(100), {_NEVER}))), "
        "map('country', ['DE', 'FR', 'US', 'BR'][1 + number % 4]), "
        f"{_begin('6359')}, {_begin('number')} + toIntervalDay(100) FROM numbers({leads})"
    )
    client.command(
        "INSERT INTO sla (policy, lead_id, clock, revision, status, cycle, event, started_at, "
        "due_at, met_at, breached_at, target_s, response_s, owner, grade) "
        f"SELECT 'first_response', {_lead('number')}, reinterpret(sipHash128(number), 'UUID'), 1, "
        f"'effective', 1, if(number % 3 = 0, 'breached', 'met'), {_begin('number')} + "
        f"toIntervalDay(30) AS began, began + toIntervalHour(4), "
        "if(number % 3 = 0, NULL, began + toIntervalMinute(number % 400)), "
        "if(number % 3 = 0, began + toIntervalHour(4), NULL), 14400, "
        f"if(number % 3 = 0, NULL, number % 400 * 60), {_OWNER}, {_GRADE} "
        f"FROM numbers({leads}) WHERE number % 5 = 0"
    )
    client.command(
        "INSERT INTO leaks (lead_id, leak, cycle, revision, status, event, opened_at, "
        "resolved_at, stage, grade, owner) "
        f"SELECT {_lead('number')}, 'untouched_at_deadline', 1, 1, 'effective', "
        f"if(number % 2 = 0, 'resolved', 'opened'), {_begin('number')} + toIntervalDay(31), "
        f"if(number % 2 = 0, {_begin('number')} + toIntervalDay(33), NULL), 'mql', {_GRADE}, "
        f"{_OWNER} FROM numbers({leads}) WHERE number % 15 = 0"
    )
    client.command(
        "INSERT INTO crm_events (lead_id, occurred_at, event_id, type, owner, actor) "
        f"SELECT {_lead('number')}, {_begin('number')} + toIntervalDay(30) + "
        "toIntervalHour(number % 30 + step), reinterpret(sipHash128(number, step, 1), 'UUID'), "
        f"'sales_activity_logged', {_OWNER}, {_OWNER} "
        f"FROM numbers({leads}) ARRAY JOIN range(3) AS step WHERE number % 5 = 0"
    )


def _lead(number: str) -> str:
    return f"concat('lead-', leftPad(toString({number}), 8, '0'))"


def _begin(number: str) -> str:
    return f"(toDateTime64('2025-06-01 00:00:00', 3, 'UTC') + toIntervalHour(({number}) % 6360))"


if __name__ == "__main__":
    main()
