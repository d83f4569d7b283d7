-- Leads per stage reached, or any later one: one row per value of each dimension.
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
    quantileExactInclusiveOrNullIf(0.5)(days, isNotNull(days)) AS median_days_mql_to_customer
FROM
(
    SELECT channel, campaign, owner, furthest, date_diff('millisecond', mql_at, customer_at) / 86400000 AS days
    FROM {database}.v_leads
)
ARRAY JOIN [('all', ''), ('channel', channel), ('campaign', campaign), ('owner', owner)] AS slice
GROUP BY dimension, value
