-- What sales does with the hand-overs of a period, by owner: v_rep_performance of all times, with other
-- measures of what is early and what is few.
--   SELECT * FROM v_performance(since = '2026-01-01', until = '2026-04-01', early_hours = 24, few_activities = 2)
-- Shares count what is decided: in_time of answered and overdue clocks; few of hand-overs that were
-- accepted or turned down; early of those turned down before an SQL, neither for a procedural reason
-- nor for a permanent one (spam needs no second call). expected_ is what the reps' own leads of the
-- same grades make it: a rep's sal / expected_sal is adjusted for the mix of grades.
-- Parameters:
--   since: The first instant of the period, UTC; of the hand-overs.
--   until: The first instant after the period, UTC.
--   early_hours: Turned down within so many hours of the wall clock is early.
--   few_activities: Fewer than so many are few.
-- Columns:
--   owner: Whose hand-overs they are, see v_handovers; (none): nobody's.
--   leads: Hand-overs of the period.
--   grades: How many hand-overs of each fit grade, A to F.
--   accepted: Hand-overs that reached SAL or a later stage.
--   turned_down: Hand-overs that were turned down instead, for no procedural reason.
--   procedural: Hand-overs that were sent back for a procedural reason.
--   open: Hand-overs that were neither accepted nor turned down so far.
--   answered: Clocks for the first response that were met, in time or late.
--   never_answered: Clocks for the first response that are overdue without an answer.
--   in_time: Share met in time of the answered and the never answered; null without either.
--   median_response_s: Middle of the times to the answer, business seconds; null without answers.
--   p90_response_s: What nine of ten answers took at most, business seconds; null without answers.
--   decided: accepted and turned_down together.
--   median_activities: Middle of the activities of those decided; null without any.
--   few: How many of those decided had fewer activities than few_activities.
--   few_share: few by decided; null without any decided.
--   given_up: Turned down before an SQL, for neither a procedural nor a permanent reason.
--   early: How many of those given up ended within early_hours or after few activities.
--   early_share: early by given_up; null without any given up.
--   sal: Hand-overs that became SALs.
--   sal_decided: Hand-overs of which it is known whether they became SALs.
--   expected_sal: What sal would be, had each lead the rate of its grade over all reps; null of
--     (none).
--   sql: Hand-overs that became SQLs.
--   sql_decided: Hand-overs of which it is known whether they became SQLs.
--   expected_sql: What sql would be, had each lead the rate of its grade over all reps; null of
--     (none).
--   won: Hand-overs whose lead was won.
--   won_decided: Hand-overs of which it is known whether the lead was won.
--   expected_won: What won would be, had each lead the rate of its grade over all reps; null of
--     (none).
SELECT
    owner,
    count() AS leads,
    sumMap(map(grade, 1::UInt64)) AS grades,
    countIf(outcome = 'accepted') AS accepted,
    countIf(outcome = 'turned_down') AS turned_down,
    countIf(outcome = 'procedural') AS procedural,
    countIf(outcome = 'open') AS open,
    countIf(response IN ('met', 'met_late')) AS answered,
    countIf(response = 'breached') AS never_answered,
    if(answered + never_answered = 0, NULL, countIf(response = 'met') / (answered + never_answered)) AS in_time,
    if(answered = 0, NULL, quantileExactInclusiveIf(0.5)(ifNull(answered_after_s, 0), response IN ('met', 'met_late'))) AS median_response_s,
    if(answered = 0, NULL, quantileExactInclusiveIf(0.9)(ifNull(answered_after_s, 0), response IN ('met', 'met_late'))) AS p90_response_s,
    accepted + turned_down AS decided,
    if(decided = 0, NULL, quantileExactInclusiveIf(0.5)(activities, outcome IN ('accepted', 'turned_down'))) AS median_activities,
    countIf(activities < {few_activities:UInt32} AND outcome IN ('accepted', 'turned_down')) AS few,
    if(decided = 0, NULL, few / decided) AS few_share,
    countIf(gives_up) AS given_up,
    countIf(gives_up AND (activities < {few_activities:UInt32} OR ended_at < handed_over_at + toIntervalHour({early_hours:UInt32}))) AS early,
    if(given_up = 0, NULL, early / given_up) AS early_share,
    countIf(became_sal = 1) AS sal,
    count(became_sal) AS sal_decided,
    if(owner = '(none)', NULL, sumIf(of_grade.1, isNotNull(became_sal))) AS expected_sal,
    countIf(became_sql = 1) AS sql,
    count(became_sql) AS sql_decided,
    if(owner = '(none)', NULL, sumIf(of_grade.2, isNotNull(became_sql))) AS expected_sql,
    countIf(was_won = 1) AS won,
    count(was_won) AS won_decided,
    if(owner = '(none)', NULL, sumIf(of_grade.3, isNotNull(was_won))) AS expected_won
FROM
(
    SELECT
        *,
        isNotNull(ended_at) AND isNull(sql_at) AND reason_kind NOT IN ('procedural', 'permanent') AS gives_up,
        owner != '(none)' AS of_rep,
        (
            avgIf(became_sal, of_rep) OVER (PARTITION BY grade),
            avgIf(became_sql, of_rep) OVER (PARTITION BY grade),
            avgIf(was_won, of_rep) OVER (PARTITION BY grade)
        ) AS of_grade
    FROM {database}.v_handovers
    WHERE handed_over_at >= {since:DateTime64(3, 'UTC')} AND handed_over_at < {until:DateTime64(3, 'UTC')}
)
GROUP BY owner
