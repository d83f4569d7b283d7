"""Funnel and attribution: how far leads get, and which touches that is due to."""

from __future__ import annotations

from typing import Final

from leadstream.infra.grafana.panels import Json, bars, board, series, stat, table
from leadstream.infra.grafana.words import (
    CHANNEL,
    CONVERSION,
    CREDITS,
    HEALTHY,
    LOOKBACK,
    MODEL,
    OF_CHANNEL,
    OF_CREDITED,
    OF_OWNER,
    OF_THE_LIVING,
    OWNER,
)

FUNNEL: Final[Json] = board(
    "leadstream-funnel",
    "Funnel and attribution",
    "How far leads get, and which touches that is due to.",
    [CHANNEL, OWNER, MODEL, CONVERSION, LOOKBACK],
    [
        (5, [
            (6, stat(
                "MQL to SQL",
                "Of the leads that first became an MQL in the time shown, how many have become an "
                "SQL so far. Healthy is 10 to 30 %.",
                f"""
SELECT if(count() = 0, NULL, countIf(furthest >= 5) / count()) AS mql_to_sql
FROM v_leads
WHERE isNotNull(mql_at) AND $__timeFilter(mql_at) AND {OF_CHANNEL} AND {OF_OWNER}""",
                "percentunit", HEALTHY,
            )),
            (6, stat(
                "MQL to customer", "The same, for customers.",
                f"""
SELECT if(count() = 0, NULL, countIf(furthest >= 7) / count()) AS mql_to_customer
FROM v_leads
WHERE isNotNull(mql_at) AND $__timeFilter(mql_at) AND {OF_CHANNEL} AND {OF_OWNER}""",
                "percentunit",
            )),
            (6, stat(
                "Conversions", "Of the chosen kind in the time shown.",
                f"""
SELECT count() AS conversions
FROM v_conversions
WHERE conversion = ${{conversion:singlequote}} AND $__timeFilter(converted_at) AND {OF_THE_LIVING}""",
            )),
            (6, stat(
                "Days from MQL to customer", "Half of those who got there needed no longer.",
                f"""
SELECT if(count() = 0, NULL, medianExact(date_diff('second', mql_at, customer_at) / 86400)) AS days
FROM v_leads
WHERE isNotNull(mql_at) AND isNotNull(customer_at) AND $__timeFilter(customer_at)
    AND {OF_CHANNEL} AND {OF_OWNER}""",
                "d",
            )),
        ]),
        (9, [
            (12, bars(
                "Funnel",
                "Leads that became known in the time shown, by the stages that they, or a later "
                "one, have reached so far.",
                f"""
SELECT stage, count() AS leads
FROM
(
    SELECT furthest
    FROM v_leads
    WHERE isNotNull(known_at) AND $__timeFilter(known_at) AND {OF_CHANNEL} AND {OF_OWNER}
)
ARRAY JOIN
    ['known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer'] AS stage,
    [1, 2, 3, 4, 5, 6, 7] AS place
WHERE furthest >= place
GROUP BY stage, place
ORDER BY place""",
            )),
            (12, series(
                "MQL to SQL by week in which leads became known",
                "Young weeks have had less time; healthy is 10 to 30 % in the end.",
                """
SELECT toDateTime(cohort) AS time, if(sum(mql) = 0, NULL, sum(sql) / sum(mql)) AS mql_to_sql
FROM v_cohorts
WHERE grain = 'week' AND $__timeFilter(toDateTime(cohort))
    AND $__conditionalAll(channel IN (${channel:singlequote}), $channel)
GROUP BY time
ORDER BY time""",
                "percentunit", HEALTHY,
            )),
        ]),
        (9, [
            (24, table(
                "Channels", "Leads that became known in the time shown, by the channel they came by.",
                f"""
SELECT
    channel AS channel_shown,
    count() AS known,
    countIf(furthest >= 3) AS mql,
    countIf(furthest >= 5) AS sql,
    countIf(furthest >= 7) AS customer,
    if(mql = 0, NULL, sql / mql) AS mql_to_sql,
    if(mql = 0, NULL, customer / mql) AS mql_to_customer
FROM v_leads
WHERE isNotNull(known_at) AND $__timeFilter(known_at) AND {OF_CHANNEL} AND {OF_OWNER}
GROUP BY channel_shown
ORDER BY known DESC""",
                {"mql_to_sql": "percentunit", "mql_to_customer": "percentunit"},
                {"mql_to_sql": HEALTHY},
            )),
        ]),
        (9, [
            (12, table(
                "Attribution by channel",
                "The credit of each channel for the chosen conversions, what was spent on it in the "
                "time shown (where costs are loaded), and what one conversion cost. Amounts of "
                "several currencies stand in several rows.",
                f"""
SELECT credits.channel AS channel, round(credits.conversions, 2) AS conversions, credits.revenue AS revenue,
    credits.currency AS currency, costs.spent AS spent,
    if(spent IS NULL, NULL, toFloat64(spent) / toFloat64(credits.conversions)) AS cost_each
FROM
(
    SELECT channel, currency, toFloat64(sum(credit)) AS conversions, sum(revenue)::Decimal(38, 2) AS revenue
    FROM {CREDITS}
    WHERE $__timeFilter(converted_at) AND {OF_CREDITED} AND {OF_THE_LIVING}
    GROUP BY channel, currency
) AS credits
LEFT JOIN
(
    SELECT if(channel = '', '(none)', channel) AS channel, currency, sum(amount)::Nullable(Decimal(38, 2)) AS spent
    FROM channel_costs FINAL
    WHERE $__timeFilter(toDateTime(day))
    GROUP BY channel, currency
) AS costs ON costs.channel = credits.channel AND costs.currency = credits.currency
ORDER BY conversions DESC""",
            )),
            (12, series(
                "Credit by month", "The credit of each channel for the chosen conversions.",
                f"""
SELECT toStartOfMonth(converted_at)::DateTime('UTC') AS time, channel, toFloat64(sum(credit)) AS conversions
FROM {CREDITS}
WHERE $__timeFilter(converted_at) AND {OF_CREDITED} AND {OF_THE_LIVING}
GROUP BY time, channel
ORDER BY time""",
                stacked=True,
            )),
        ]),
        (9, [
            (12, table(
                "Paths", "What leads had touched before the chosen conversion, oldest first.",
                """
SELECT
    if(empty(path), '(none)', arrayStringConcat(path, ' > ')) AS path_shown,
    count() AS conversions,
    sum(revenue) AS revenue_sum,
    avg(days_to_convert) AS days_mean
FROM v_paths(conversion = ${conversion:singlequote}, by = 'channel', lookback_days = $lookback_days)
WHERE $__timeFilter(converted_at)
GROUP BY path_shown
ORDER BY conversions DESC, path_shown
LIMIT 20""",
                {"days_mean": "d"},
            )),
            (12, table(
                "Why leads were turned down", "By the CRM in the time shown, most often first.",
                f"""
SELECT to_stage, multiIf(reason != '', reason, reason_given != '', '(unmapped)', '(none)') AS reason_shown,
    count() AS transitions, uniqExact(lead_id) AS leads
FROM transitions FINAL
WHERE status = 'effective' AND cause = 'crm' AND to_stage IN ('engaged', 'nurture', 'disqualified', 'lost')
    AND $__timeFilter(occurred_at) AND {OF_CHANNEL} AND {OF_OWNER} AND {OF_THE_LIVING}
GROUP BY to_stage, reason_shown
ORDER BY transitions DESC""",
            )),
        ]),
    ],
)  # fmt: skip
