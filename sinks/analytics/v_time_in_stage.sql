-- Days that leads spend in each stage, per visit; a stage that was only inferred counts as passed at once.
-- Columns:
--   stage: The stage that leads were in.
--   visits: How often leads entered it.
--   still_there: Of the visits, those that have not ended.
--   median_days: Half of the visits that ended took no more days; null where none has.
--   p90_days: Nine in ten of the visits that ended took no more days; null where none has.
SELECT
    stage,
    count() AS visits,
    countIf(isNull(days)) AS still_there,
    quantileExactInclusiveOrNullIf(0.5)(days, isNotNull(days)) AS median_days,
    quantileExactInclusiveOrNullIf(0.9)(days, isNotNull(days)) AS p90_days
FROM {database}.v_visits
GROUP BY stage
