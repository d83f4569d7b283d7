-- Leads per stage reached, or any later one: one row per value of each dimension.
WITH ['known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer'] AS main_line
SELECT
    slice.1 AS dimension,
    slice.2 AS value,
    countIf(furthest >= 1) AS known,
    countIf(furthest >= 2) AS engaged,
    countIf(furthest >= 3) AS mql,
    countIf(furthest >= 4) AS sal,
    countIf(furthest >= 5) AS sql,
    countIf(furthest >= 6) AS opportunity,
    countIf(furthest >= 7) AS customer,
    if(mql = 0, NULL, sql / mql) AS mql_to_sql,
    if(mql = 0, NULL, customer / mql) AS mql_to_customer,
    if(countIf(isNotNull(days)) = 0, NULL, quantileExactInclusiveIf(0.5)(assumeNotNull(days), isNotNull(days)))
        AS median_days_mql_to_customer
FROM
(
    SELECT
        if(channel = '', '(none)', channel) AS channel_shown,
        if(campaign = '', '(none)', campaign) AS campaign_shown,
        if(owner = '', '(none)', owner) AS owner_shown,
        arrayMax(passed -> indexOf(main_line, passed), arrayConcat(mapKeys(reached), [stage, if(stage = 'anonymous', '', 'known')]))
            AS furthest,
        if(
            mapContains(reached, 'mql') AND mapContains(reached, 'customer'),
            (toUnixTimestamp64Milli(reached['customer']) - toUnixTimestamp64Milli(reached['mql'])) / 86400000,
            NULL
        ) AS days
    FROM {database}.lead_state FINAL
    WHERE stage != 'merged' AND merged_into = ''
)
ARRAY JOIN
    [('all', ''), ('channel', channel_shown), ('campaign', campaign_shown), ('owner', owner_shown)] AS slice
GROUP BY dimension, value
