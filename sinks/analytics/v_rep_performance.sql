-- What each owner does with the leads that were handed over to them, of all times: how fast, how
-- persistently, what becomes of them, and what was to be expected of leads of these grades. Early is
-- turned down within 24 hours, or after fewer than two activities; see v_performance.
-- Columns:
--   owner: Whose hand-overs they are, see v_handovers; (none): nobody's.
--   leads: Hand-overs to this owner, of all times.
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
--   few: How many of those decided had fewer than two activities.
--   few_share: few by decided; null without any decided.
--   given_up: Turned down before an SQL, for neither a procedural nor a permanent reason.
--   early: How many of those given up ended within 24 hours or after fewer than two activities.
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
    owner, leads, grades, accepted, turned_down, procedural, open,
    answered, never_answered, in_time, median_response_s, p90_response_s,
    decided, median_activities, few, few_share, given_up, early, early_share,
    sal, sal_decided, expected_sal, sql, sql_decided, expected_sql, won, won_decided, expected_won
FROM {database}.v_performance(
    since = '1900-01-01 00:00:00.000', until = '2299-12-31 23:59:59.999', early_hours = 24, few_activities = 2
)
