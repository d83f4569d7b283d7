-- Cohorts: leads by the week (its Monday) and by the month in which they became known, and how many
-- of them have reached each stage, or a later one, so far. Young cohorts have had less time: compare
-- them with the curves of `leadstream cohorts`, not with old ones.
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
