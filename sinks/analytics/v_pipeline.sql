-- Pipeline: one row per lead that may still be won: its stage, for how long it has been there, and
-- the amount of its open opportunity. `leadstream funnel --pipeline` adds how likely a win is.
-- Columns:
--   lead_id: The lead that may still be won.
--   stage: Present stage: known to opportunity, or nurture.
--   cycle: Grows with each qualification after a recycle, from 1.
--   stage_since: When it entered its present stage, UTC.
--   age_days: Days in the present stage, up to the latest instant of the data.
--   channel: Of the first touchpoint; (none) where it named none.
--   source: Of the first touchpoint; (none) where it named none.
--   medium: Of the first touchpoint; (none) where it named none.
--   campaign: Of the first touchpoint; (none) where it named none.
--   owner: Who has the lead now; (none): nobody.
--   grade: Present fit grade, A to F.
--   persona: Present persona; (none) where no rule of the model knows one.
--   interest: The asset or topic consumed most; (none) without one.
--   attributes: Facts about the person or company, by name.
--   opportunity_id: The latest opportunity as the CRM names it; empty without one.
--   amount: What its open opportunity is worth, in currency; null without one, or where nobody
--     said.
--   currency: ISO 4217; empty without an open opportunity, or where nobody said.
SELECT
    lead_id,
    stage,
    cycle,
    stage_since,
    greatest(date_diff('millisecond', stage_since, assumeNotNull((SELECT as_of FROM {database}.v_as_of))), 0) / 86400000 AS age_days,
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
