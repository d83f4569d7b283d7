-- Visits: one row per stay of a lead in a stage, from the transition into it to the next one.
-- `days` is NULL while the lead is still there. An inferred stage is one that the CRM skipped: the
-- lead passed it at once and was never in it. Leads merged into others do not count.
SELECT
    lead_id,
    seq,
    cycle,
    to_stage AS stage,
    inferred,
    occurred_at AS entered_at,
    leadInFrame(toNullable(occurred_at)) OVER lives AS left_at,
    ifNull(leadInFrame(toNullable(toString(to_stage))) OVER lives, '') AS next_stage,
    date_diff('millisecond', entered_at, left_at) / 86400000 AS days
FROM {database}.transitions FINAL
WHERE lead_id NOT IN (SELECT lead_id FROM {database}.lead_state FINAL WHERE stage = 'merged' OR merged_into != '')
WINDOW lives AS (PARTITION BY lead_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
