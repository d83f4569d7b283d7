-- Speed to lead: how many leads went on to be sales qualified, and won, by how soon they were answered.
-- One row per policy, grade and class of the time from the start of the clock to the answer; a clock
-- without an answer is "never", unless it still runs in time or was cancelled.
-- Columns:
--   policy: Policy of the model whose clocks are looked at.
--   grade: Fit grade of the leads, A to F.
--   answered: within 1 h, 4 h, 1 d or 3 d, later, or never; wall time, not business time.
--   place: Sorts answered, from 1 for the fastest to 6 for never.
--   clocks: Clocks in this class.
--   leads: Distinct leads of them.
--   sql: Of the leads, those that became an SQL in the cycle, after the clock had started.
--   won: Of the leads, those that were won in the cycle, after the clock had started.
--   to_sql: sql / leads, 0 to 1.
--   to_won: won / leads, 0 to 1.
SELECT
    policy,
    grade,
    multiIf(
        isNull(answered_at), 'never',
        response_h < 1, 'within 1 h',
        response_h < 4, 'within 4 h',
        response_h < 24, 'within 1 d',
        response_h < 72, 'within 3 d',
        'later'
    ) AS answered,
    multiIf(isNull(answered_at), 6, response_h < 1, 1, response_h < 4, 2, response_h < 24, 3, response_h < 72, 4, 5) AS place,
    count() AS clocks,
    uniqExact(lead_id) AS leads,
    uniqExactIf(lead_id, became_sql) AS sql,
    uniqExactIf(lead_id, was_won) AS won,
    sql / leads AS to_sql,
    won / leads AS to_won
FROM
(
    SELECT
        clocks.policy AS policy,
        clocks.grade AS grade,
        clocks.lead_id AS lead_id,
        clocks.answered_at AS answered_at,
        date_diff('millisecond', clocks.started_at, clocks.answered_at) / 3600000 AS response_h,
        ifNull(reached.sql_at >= clocks.started_at, false) AS became_sql,
        ifNull(reached.won_at >= clocks.started_at, false) AS was_won
    FROM (SELECT * FROM {database}.v_sla WHERE outcome NOT IN ('open', 'cancelled')) AS clocks
    LEFT JOIN
    (
        SELECT
            lead_id,
            cycle,
            minOrNullIf(converted_at, conversion = 'sql') AS sql_at,
            minOrNullIf(converted_at, conversion = 'won') AS won_at
        FROM {database}.v_conversions
        GROUP BY lead_id, cycle
    ) AS reached ON reached.lead_id = clocks.lead_id AND reached.cycle = clocks.cycle
)
GROUP BY policy, grade, answered, place
