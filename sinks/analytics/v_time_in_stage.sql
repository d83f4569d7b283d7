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
    if(visits = still_there, NULL, quantileExactInclusiveIf(0.5)(assumeNotNull(days), isNotNull(days)))
        AS median_days,
    if(visits = still_there, NULL, quantileExactInclusiveIf(0.9)(assumeNotNull(days), isNotNull(days)))
        AS p90_days
FROM
(
    SELECT
        to_stage AS stage,
        leadInFrame(toNullable(occurred_at)) OVER (
            PARTITION BY lead_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS left_at,
        (toUnixTimestamp64Milli(left_at) - toUnixTimestamp64Milli(occurred_at)) / 86400000 AS days
    FROM {database}.transitions FINAL
)
GROUP BY stage
