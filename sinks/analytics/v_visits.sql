-- Visits: one row per stay of a lead in a stage, from the transition into it to the next one.
-- `days` is NULL while the lead is still there. An inferred stage is one that the CRM skipped: the
-- lead passed it at once and was never in it. Leads merged into others do not count.
-- Columns:
--   lead_id: The lead that was there.
--   seq: Position of the transition into the stage in those of the lead, from 0.
--   cycle: Cycle of the lead when it entered.
--   stage: The stage entered.
--   inferred: 1: the CRM skipped the stage, so it was no real stay.
--   entered_at: When the lead entered, UTC.
--   left_at: When it went on, UTC; null while it is there.
--   next_stage: Where it went; empty while it is there.
--   days: How long the stay lasted; null while the lead is there.
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
WHERE lead_id NOT IN (SELECT lead_id FROM {database}.v_absorbed)
WINDOW lives AS (PARTITION BY lead_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
