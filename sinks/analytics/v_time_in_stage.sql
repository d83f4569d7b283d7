-- Days that leads spend in each stage, per visit; a stage that was only inferred counts as passed at once.
SELECT
    stage,
    count() AS visits,
    countIf(isNull(days)) AS still_there,
    quantileExactInclusiveOrNullIf(0.5)(days, isNotNull(days)) AS median_days,
    quantileExactInclusiveOrNullIf(0.9)(days, isNotNull(days)) AS p90_days
FROM {database}.v_visits
GROUP BY stage
