-- Each lead once, as it stands now; leads that another absorbed are left out.
SELECT
    lead_id,
    stage,
    stage_since,
    cycle,
    score,
    grade,
    owner,
    if(channel = '', '(none)', channel) AS channel,
    if(campaign = '', '(none)', campaign) AS campaign,
    if(mapContains(reached, 'known'), reached['known'], NULL) AS known_at,
    first_mql_at,
    if(mapContains(reached, 'sql'), reached['sql'], NULL) AS sql_at,
    if(mapContains(reached, 'customer'), reached['customer'], NULL) AS customer_at,
    amount,
    currency,
    last_event_at
FROM {{ source('leads', 'lead_state') }} FINAL
WHERE stage != 'merged' AND merged_into = ''
