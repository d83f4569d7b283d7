"""Pipeline now: whether events arrive, what they lead to, and what is left lying."""

from __future__ import annotations

from typing import Final

from leadstream.infra.grafana.panels import Json, bars, board, series, stat, table
from leadstream.infra.grafana.words import (
    CHANNEL,
    FRESH_S,
    NONE_IS_BEST,
    OF_CHANNEL,
    OF_OWNER,
    OF_THE_LIVING,
    OWNER,
)

PIPELINE: Final[Json] = board(
    "leadstream-pipeline",
    "Pipeline now",
    "Whether events arrive, what they lead to, and what is left lying.",
    [CHANNEL, OWNER],
    [
        (4, [
            (4, stat(
                "MQLs", "Leads that became an MQL in the time shown, each time it did.",
                f"""
SELECT count() AS mqls
FROM transitions FINAL
WHERE to_stage = 'mql' AND $__timeFilter(occurred_at) AND {OF_CHANNEL} AND {OF_OWNER}
    AND {OF_THE_LIVING}""",
            )),
            (4, stat(
                "Age of the newest event",
                "How long before the end of the time shown the newest event happened.",
                """
SELECT greatest(0, date_diff('second', max(last_event_at), $__toTime)) AS age_s
FROM lead_state""",
                "s", FRESH_S,
            )),
            (4, stat(
                "Open SLA clocks", "Clocks that run and are not overdue.",
                f"SELECT count() AS clocks FROM v_sla WHERE outcome = 'open' AND {OF_OWNER}",
            )),
            (4, stat(
                "Overdue", "Clocks whose deadline has passed without an answer.",
                f"SELECT count() AS clocks FROM v_sla WHERE outcome = 'breached' AND {OF_OWNER}",
                steps=NONE_IS_BEST,
            )),
            (4, stat(
                "Leaks open", "Handoffs that are left lying now.",
                f"SELECT count() AS leaks FROM v_leaks WHERE NOT is_resolved AND {OF_OWNER}",
                steps=NONE_IS_BEST,
            )),
            (4, stat(
                "Dead letters open",
                "Records that could not be processed, and were not sent again; `leadstream dlq list` "
                "shows them.",
                """
SELECT countIf(present = 'open') AS letters
FROM
(
    SELECT argMax(status, changed_at) AS present
    FROM dead_letters
    GROUP BY source_topic, source_partition, source_offset
)""",
                steps=NONE_IS_BEST,
            )),
        ]),
        (8, [
            (12, series(
                "MQLs an hour", "Each time that a lead became an MQL, by the channel it came by.",
                f"""
SELECT toStartOfHour(occurred_at) AS time, if(channel = '', '(none)', channel) AS channel_shown, count() AS mqls
FROM transitions FINAL
WHERE to_stage = 'mql' AND $__timeFilter(occurred_at) AND {OF_CHANNEL} AND {OF_OWNER}
    AND {OF_THE_LIVING}
GROUP BY time, channel_shown
ORDER BY time""",
                stacked=True,
            )),
            (12, series(
                "Events", "Touchpoints and CRM events as they happened, each once.",
                """
SELECT $__timeInterval(occurred_at) AS time, kind, uniqExact(event_id) AS events
FROM
(
    SELECT occurred_at, event_id, 'touchpoints' AS kind FROM touchpoints
    UNION ALL
    SELECT occurred_at, event_id, 'CRM events' AS kind FROM crm_events
)
WHERE $__timeFilter(occurred_at)
GROUP BY time, kind
ORDER BY time""",
                stacked=True,
            )),
        ]),
        (9, [
            (12, table(
                "SLA clocks that wait", "Open and overdue ones, the most urgent first.",
                f"""
SELECT due_at, outcome, policy, lead_id, if(owner = '', '(none)', owner) AS owner_shown, grade, started_at
FROM v_sla
WHERE outcome IN ('open', 'breached') AND {OF_OWNER}
ORDER BY outcome = 'breached' DESC, due_at
LIMIT 200""",
                {"due_at": "dateTimeAsIso", "started_at": "dateTimeAsIso"},
            )),
            (12, table(
                "Leaks that are open", "The oldest first, with what is at stake.",
                f"""
SELECT opened_at, leak, lead_id, if(owner = '', '(none)', owner) AS owner_shown, stage_now, grade, amount, currency, details
FROM v_leaks
WHERE NOT is_resolved AND {OF_OWNER}
ORDER BY opened_at
LIMIT 200""",
                {"opened_at": "dateTimeAsIso"},
            )),
        ]),
        (8, [
            (12, bars(
                "Leads by stage", "Where every lead stands now.",
                f"""
SELECT stage, count() AS leads
FROM v_leads
WHERE {OF_CHANNEL} AND {OF_OWNER}
GROUP BY stage
ORDER BY leads DESC""",
            )),
            (12, table(
                "Dead letters", "Those that are open, by where they came from and what is wrong.",
                """
SELECT source_topic, what AS kind, count() AS letters, min(at) AS oldest, max(at) AS newest
FROM
(
    SELECT source_topic, argMax(status, changed_at) AS present, argMax(kind, changed_at) AS what,
        argMax(failed_at, changed_at) AS at
    FROM dead_letters
    GROUP BY source_topic, source_partition, source_offset
)
WHERE present = 'open'
GROUP BY source_topic, kind
ORDER BY letters DESC""",
                {"oldest": "dateTimeAsIso", "newest": "dateTimeAsIso"},
            )),
        ]),
    ],
    days=7,
)  # fmt: skip
