-- Leads: one row per lead that counts, which is not merged into another, with what answers are cut
-- by, when it first reached each stage, and how far it came on the main line.
--   SELECT country, countIf(furthest >= 3) AS mql, countIf(furthest >= 5) AS sql
--   FROM (SELECT *, attributes['country'] AS country FROM v_leads) GROUP BY country
-- furthest: 0 for a visitor whom nobody knows, 1 known, 2 engaged, 3 mql, 4 sal, 5 sql,
-- 6 opportunity, 7 customer; a lead that was turned down keeps what it had reached.
-- Columns:
--   lead_id: The lead, or anon:<anonymous_id> while nobody is known.
--   stage: Present stage.
--   stage_since: When it entered its present stage, UTC.
--   cycle: Grows with each qualification after a recycle, from 1.
--   furthest: How far it came on the main line, 0 to 7: 0 for a visitor whom nobody knows, 3 mql, 7
--     customer.
--   furthest_stage: Name of the furthest stage of the main line; empty for a visitor whom nobody
--     knows.
--   reached: First time that each stage was entered, by stage, UTC.
--   inferred: Stages that the CRM skipped: they are reached in the instant of the next one.
--   known_at: When it first reached known, UTC; null where it never was in that stage.
--   engaged_at: When it first reached engaged, UTC; null where it never was in that stage.
--   mql_at: When it first reached mql, UTC; null where it never was in that stage.
--   sal_at: When it first reached sal, UTC; null where it never was in that stage.
--   sql_at: When it first reached sql, UTC; null where it never was in that stage.
--   opportunity_at: When it first reached opportunity, UTC; null where it never was in that stage.
--   customer_at: When it first reached customer, UTC; null where it never was in that stage.
--   channel: Of the first touchpoint; (none) where it named none.
--   source: Of the first touchpoint; (none) where it named none.
--   medium: Of the first touchpoint; (none) where it named none.
--   campaign: Of the first touchpoint; (none) where it named none.
--   owner: Who has the lead now; (none): nobody.
--   grade: Present fit grade, A to F.
--   persona: Present persona; (none) where no rule of the model knows one.
--   interest: The asset or topic consumed most; (none) without one.
--   attributes: Facts about the person or company, by name, as forms and the CRM told them.
--   mql_count: How often it became an MQL.
--   score: Total points as of its last change.
--   fit: Points for who it is.
--   engagement: Points for what it does.
--   opportunity_id: The latest opportunity as the CRM names it; empty without one.
--   amount: What the latest opportunity is worth, in currency; null where nobody said.
--   currency: ISO 4217; empty where nobody said.
--   first_event_at: The earliest event, UTC.
--   last_event_at: The latest event, UTC.
--   model_version: Version of the model that judged it last.
--   account: The account it belongs to, as crm:<id>, group:<id> or domain:<domain>; empty without one.
--   buying_group: Personas that the model wants among the engaged people of an account.
WITH ['known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer'] AS main_line
SELECT
    lead_id,
    stage,
    stage_since,
    cycle,
    arrayMax(passed -> indexOf(main_line, passed), arrayConcat(mapKeys(reached), [stage, if(stage = 'anonymous', '', 'known')]))
        AS furthest,
    if(furthest = 0, '', main_line[furthest]) AS furthest_stage,
    reached,
    inferred,
    if(mapContains(reached, 'known'), reached['known'], NULL) AS known_at,
    if(mapContains(reached, 'engaged'), reached['engaged'], NULL) AS engaged_at,
    if(mapContains(reached, 'mql'), reached['mql'], NULL) AS mql_at,
    if(mapContains(reached, 'sal'), reached['sal'], NULL) AS sal_at,
    if(mapContains(reached, 'sql'), reached['sql'], NULL) AS sql_at,
    if(mapContains(reached, 'opportunity'), reached['opportunity'], NULL) AS opportunity_at,
    if(mapContains(reached, 'customer'), reached['customer'], NULL) AS customer_at,
    if(s.channel = '', '(none)', s.channel) AS channel,
    if(s.source = '', '(none)', s.source) AS source,
    if(s.medium = '', '(none)', s.medium) AS medium,
    if(s.campaign = '', '(none)', s.campaign) AS campaign,
    if(s.owner = '', '(none)', s.owner) AS owner,
    if(s.grade = '', '(none)', s.grade) AS grade,
    if(s.persona = '', '(none)', s.persona) AS persona,
    if(s.interest = '', '(none)', s.interest) AS interest,
    attributes,
    mql_count,
    score,
    fit,
    engagement,
    opportunity_id,
    amount,
    currency,
    first_event_at,
    last_event_at,
    model_version,
    account,
    buying_group
FROM {database}.lead_state AS s FINAL
WHERE stage != 'merged' AND merged_into = ''
