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
    SELECT assumeNotNull(known_at) AS began, channel, source, grade, persona, furthest
    FROM {database}.v_leads
    WHERE isNotNull(known_at)
)
ARRAY JOIN [('week', toMonday(began)), ('month', toStartOfMonth(began))] AS slice
GROUP BY grain, cohort, channel, source, grade, persona
