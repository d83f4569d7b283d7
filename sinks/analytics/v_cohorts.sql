-- Cohorts: leads by the week (its Monday) and by the month in which they became known, and how many
-- of them have reached each stage, or a later one, so far. Young cohorts have had less time: compare
-- them with the curves of `leadstream cohorts`, not with old ones.
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
