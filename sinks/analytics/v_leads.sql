-- Leads: one row per lead that counts, which is not merged into another, with what answers are cut
-- by, when it first reached each stage, and how far it came on the main line.
--   SELECT country, countIf(furthest >= 3) AS mql, countIf(furthest >= 5) AS sql
--   FROM (SELECT *, attributes['country'] AS country FROM v_leads) GROUP BY country
-- furthest: 0 for a visitor whom nobody knows, 1 known, 2 engaged, 3 mql, 4 sal, 5 sql,
-- 6 opportunity, 7 customer; a lead that was turned down keeps what it had reached.
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
    model_version
FROM {database}.lead_state AS s FINAL
WHERE stage != 'merged' AND merged_into = ''
