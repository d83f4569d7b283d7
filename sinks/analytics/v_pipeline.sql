-- Pipeline: one row per lead that may still be won: its stage, for how long it has been there, and
-- the amount of its open opportunity. `leadstream funnel --pipeline` adds how likely a win is.
SELECT
    lead_id,
    stage,
    cycle,
    stage_since,
    greatest(date_diff('millisecond', stage_since, (SELECT as_of FROM {database}.v_as_of)), 0) / 86400000 AS age_days,
    channel,
    source,
    medium,
    campaign,
    owner,
    grade,
    persona,
    interest,
    attributes,
    opportunity_id,
    -- An amount outlives its opportunity; of leads without an open one it is no longer at stake.
    if(leads.stage = 'opportunity', leads.amount, NULL) AS amount,
    if(leads.stage = 'opportunity', toString(leads.currency), '') AS currency
FROM {database}.v_leads AS leads
WHERE stage IN ('known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'nurture')
