-- Leads by channel and month in which they became known, with what came of them so far.
{{ config(order_by='(month, channel)') }}
SELECT
    toStartOfMonth(assumeNotNull(known_at)) AS month,
    channel,
    count() AS leads,
    countIf(isNotNull(first_mql_at)) AS mqls,
    countIf(isNotNull(sql_at)) AS sqls,
    countIf(isNotNull(customer_at)) AS customers
FROM {{ ref('stg_leads') }}
WHERE isNotNull(known_at)
GROUP BY month, channel
