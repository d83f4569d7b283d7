"""Handoff: whether sales answers in time, and what that is worth."""

from __future__ import annotations

from typing import Final

from leadstream.infra.grafana.panels import Json, bars, board, series, stat, table
from leadstream.infra.grafana.words import (
    ATTAINED,
    HEALTHY,
    NONE_IS_BEST,
    OF_OWNER,
    OF_POLICY,
    OWNER,
    POLICY,
)

HANDOFF: Final[Json] = board(
    "leadstream-handoff",
    "Handoff",
    "Whether sales answers in time, and what that is worth.",
    [OWNER, POLICY],
    [
        (5, [
            (6, stat(
                "Answered in time",
                "Of the clocks started in the time shown that have ended or are overdue.",
                f"""
SELECT if(count() = 0, NULL, countIf(outcome = 'met') / count()) AS attainment
FROM v_sla
WHERE outcome IN ('met', 'met_late', 'breached') AND $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}""",
                "percentunit", ATTAINED,
            )),
            (6, stat(
                "Answered after", "Business time from the start of the clock; half were sooner.",
                f"""
SELECT medianExactOrNullIf(answered_after_s, isNotNull(answered_after_s)) AS median_s
FROM v_sla
WHERE $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}""",
                "s",
            )),
            (6, stat(
                "Handed over", "Clocks started in the time shown.",
                f"""
SELECT count() AS clocks
FROM v_sla
WHERE $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}""",
            )),
            (6, stat(
                "Leaks open", "Handoffs that are left lying now.",
                f"SELECT count() AS leaks FROM v_leaks WHERE NOT is_resolved AND {OF_OWNER}",
                steps=NONE_IS_BEST,
            )),
        ]),
        (9, [
            (12, series(
                "Answered in time by week", "By the week in which the clock started.",
                f"""
SELECT toDateTime(toMonday(started_at)) AS time, policy, countIf(outcome = 'met') / count() AS attainment
FROM v_sla
WHERE outcome IN ('met', 'met_late', 'breached') AND $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}
GROUP BY time, policy
ORDER BY time""",
                "percentunit",
            )),
            (12, table(
                "By policy and grade", "Clocks started in the time shown.",
                f"""
SELECT policy, grade, count() AS clocks, countIf(outcome = 'met') AS met, countIf(outcome = 'met_late') AS met_late,
    countIf(outcome = 'breached') AS breached, countIf(outcome = 'open') AS open,
    if(met + met_late + breached = 0, NULL, met / (met + met_late + breached)) AS attainment,
    medianExactOrNullIf(answered_after_s, isNotNull(answered_after_s)) AS median_s
FROM v_sla
WHERE $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}
GROUP BY policy, grade
ORDER BY policy, grade""",
                {"attainment": "percentunit", "median_s": "s"},
                {"attainment": ATTAINED},
            )),
        ]),
        (9, [
            (12, bars(
                "Speed to lead: who went on to SQL",
                "Of the leads of all time, by how soon they were answered.",
                f"""
SELECT answered, sum(sql) / sum(leads) AS to_sql
FROM v_speed_to_lead
WHERE {OF_POLICY}
GROUP BY answered
ORDER BY min(place)""",
                "percentunit",
            )),
            (12, table(
                "Speed to lead", "The same in figures.",
                f"""
SELECT answered, sum(clocks) AS clocks_all, sum(leads) AS leads_all, sum(sql) AS sql_all, sum(won) AS won_all,
    sql_all / leads_all AS to_sql_all, won_all / leads_all AS to_won_all
FROM v_speed_to_lead
WHERE {OF_POLICY}
GROUP BY answered
ORDER BY min(place)""",
                {"to_sql_all": "percentunit", "to_won_all": "percentunit"},
            )),
        ]),
        (10, [
            (24, table(
                "Reps",
                "By who owned the lead when the clock was last heard of: how many, how many in time, "
                "how soon, and how many of those leads have become an SQL and a customer since.",
                f"""
SELECT
    if(clocks.owner = '', '(none)', clocks.owner) AS owner_shown,
    count() AS handed_over,
    countIf(outcome IN ('met', 'met_late')) AS answered,
    if(countIf(outcome IN ('met', 'met_late', 'breached')) = 0, NULL,
        countIf(outcome = 'met') / countIf(outcome IN ('met', 'met_late', 'breached'))) AS attainment,
    medianExactOrNullIf(answered_after_s, isNotNull(answered_after_s)) AS median_s,
    uniqExact(clocks.lead_id) AS leads,
    uniqExactIf(clocks.lead_id, states.sql_at >= clocks.started_at) / leads AS to_sql,
    uniqExactIf(clocks.lead_id, states.won_at >= clocks.started_at) / leads AS to_won
FROM (SELECT * FROM v_sla WHERE $__timeFilter(started_at) AND {OF_OWNER} AND {OF_POLICY}) AS clocks
INNER JOIN (SELECT lead_id, sql_at, customer_at AS won_at FROM v_leads) AS states ON states.lead_id = clocks.lead_id
GROUP BY owner_shown
ORDER BY handed_over DESC""",
                {
                    "attainment": "percentunit", "median_s": "s", "to_sql": "percentunit",
                    "to_won": "percentunit",
                },
                {"attainment": ATTAINED, "to_sql": HEALTHY},
            )),
        ]),
        (10, [
            (24, table(
                "Reps, beside what their leads led to expect",
                "Over all time: how many of a rep's leads were accepted, became an SQL and were won, "
                "beside how many would have been at the rates of all reps for leads of the same "
                "grades; and how many were turned down early, with few attempts.",
                f"""
SELECT owner, leads, median_response_s, few_share, early_share, sal, expected_sal, sql, expected_sql, won, expected_won
FROM v_rep_performance
WHERE {OF_OWNER}
ORDER BY leads DESC""",
                {
                    "median_response_s": "s", "few_share": "percentunit",
                    "early_share": "percentunit",
                },
            )),
        ]),
        (9, [
            (12, table(
                "Leaks by kind and owner", "Opened in the time shown, and how many are open still.",
                f"""
SELECT leak, if(owner = '', '(none)', owner) AS owner_shown, count() AS leaks, countIf(NOT is_resolved) AS open,
    medianExactOrNullIf(date_diff('second', opened_at, resolved_at) / 3600, is_resolved) AS median_h
FROM v_leaks
WHERE $__timeFilter(opened_at) AND {OF_OWNER}
GROUP BY leak, owner_shown
ORDER BY open DESC, leaks DESC""",
                {"median_h": "h"},
                {"open": NONE_IS_BEST},
            )),
            (12, table(
                "Time in stage", "Days that leads of all time spent in a stage, per visit.",
                "SELECT stage, visits, still_there, median_days, p90_days FROM v_time_in_stage ORDER BY visits DESC",
                {"median_days": "d", "p90_days": "d"},
            )),
        ]),
    ],
)  # fmt: skip
