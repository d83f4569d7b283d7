-- Cohorts: leads by the week (its Monday) and by the month in which they became known, and how many
-- of them have reached each stage, or a later one, so far. Young cohorts have had less time: compare
-- them with the curves of `leadstream cohorts`, not with old ones.
-- Columns:
--   grain: week or month: each lead counts once in either, so choose one.
--   cohort: First day of the week (a Monday) or of the month in which leads became known, UTC.
--   channel: Of the first touchpoint; (none) where it named none.
--   source: Of the first touchpoint; (none) where it named none.
--   grade: Present fit grade, A to F.
--   persona: Present persona; (none) where no rule of the model knows one.
--   known: Leads that became known: the size of the cohort.
--   mql: Of them, leads that reached mql or a later stage so far.
--   sal: Of them, leads that reached sal or a later stage so far.
--   sql: Of them, leads that reached sql or a later stage so far.
--   opportunity: Of them, leads that reached opportunity or customer so far.
--   customer: Of them, leads that were won so far.
--   mql_to_sql: sql / mql, 0 to 1; null without an MQL. Of sums, divide the sums.
--   mql_to_customer: customer / mql, 0 to 1; null without an MQL. Of sums, divide the sums.
WITH ['known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer'] AS main_line
SELECT
    slice.1 AS grain,
    slice.2 AS cohort,
    channel,
    source,
    grade,
    persona,
    count() AS known,
    countIf(furthest >= 3) AS mql,
    countIf(furthest >= 4) AS sal,
    countIf(furthest >= 5) AS sql,
    countIf(furthest >= 6) AS opportunity,
    countIf(furthest >= 7) AS customer,
    if(mql = 0, NULL, sql / mql) AS mql_to_sql,
    if(mql = 0, NULL, customer / mql) AS mql_to_customer
FROM
(
    SELECT
        reached['known'] AS known_at,
        if(s.channel = '', '(none)', s.channel) AS channel,
        if(s.source = '', '(none)', s.source) AS source,
        if(s.grade = '', '(none)', s.grade) AS grade,
        if(s.persona = '', '(none)', s.persona) AS persona,
        arrayMax(passed -> indexOf(main_line, passed), arrayPushBack(mapKeys(reached), stage)) AS furthest
    FROM {database}.lead_state AS s FINAL
    WHERE stage != 'merged' AND merged_into = '' AND mapContains(reached, 'known')
)
ARRAY JOIN [('week', toMonday(known_at)), ('month', toStartOfMonth(known_at))] AS slice
GROUP BY grain, cohort, channel, source, grade, persona
