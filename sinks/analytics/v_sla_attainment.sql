-- Per policy, grade and owner: clocks that ended or are overdue, and how many were met in time.
-- Clocks that still run in time and cancelled ones count neither for nor against.
-- Columns:
--   policy: Policy of the model.
--   grade: Fit grade of the leads, A to F.
--   owner: Who had to answer; empty: nobody had the lead.
--   clocks: All clocks of the group.
--   met: Answered by the deadline.
--   met_late: Answered after the deadline.
--   breached: Overdue, and not answered so far.
--   open: Still running, in time.
--   cancelled: Ended without an answer being due any more.
--   attainment: met / (met + met_late + breached), 0 to 1; null where none of them is.
--   median_response_s: Median time to the answer, business seconds; null without an answer.
--   p90_response_s: Nine in ten answers took no longer, business seconds; null without an answer.
--   mean_response_s: Mean time to the answer, business seconds; null without an answer.
SELECT
    policy,
    grade,
    owner,
    count() AS clocks,
    countIf(outcome = 'met') AS met,
    countIf(outcome = 'met_late') AS met_late,
    countIf(outcome = 'breached') AS breached,
    countIf(outcome = 'open') AS open,
    countIf(outcome = 'cancelled') AS cancelled,
    if(met + met_late + breached > 0, met / (met + met_late + breached), NULL) AS attainment,
    quantileExactInclusiveOrNullIf(0.5)(answered_after_s, isNotNull(answered_after_s)) AS median_response_s,
    quantileExactInclusiveOrNullIf(0.9)(answered_after_s, isNotNull(answered_after_s)) AS p90_response_s,
    avgOrNullIf(answered_after_s, isNotNull(answered_after_s)) AS mean_response_s
FROM {database}.v_sla
GROUP BY policy, grade, owner
