-- Leads per stage reached, or any later one: one row per value of each dimension.
-- Columns:
--   dimension: all, channel, campaign or owner: each lead counts once in every one, so choose one.
--   value: Value of the dimension; (none) where the lead has none, empty for all.
--   known: Leads that became known, or reached a later stage.
--   engaged: Leads that reached engaged or a later stage.
--   mql: Leads that reached mql or a later stage.
--   sal: Leads that reached sal or a later stage.
--   sql: Leads that reached sql or a later stage.
--   opportunity: Leads that reached opportunity, or were won.
--   customer: Leads that were won.
--   mql_to_sql: sql / mql, 0 to 1; null without an MQL.
--   mql_to_customer: customer / mql, 0 to 1; null without an MQL.
--   median_days_mql_to_customer: Half of the won leads took no more days from first MQL to the
--     win; null without one.
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
