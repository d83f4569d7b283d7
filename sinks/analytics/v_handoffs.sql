-- Handoffs: the entries of leads into stages (`v_entries`) with the leaks that opened there.
-- Columns:
--   lead_id: The lead that entered.
--   cycle: Cycle of the lead when it entered.
--   stage: The stage entered.
--   entered_at: The first arrival in that stage in that cycle, UTC.
--   inferred: 1: the CRM skipped the stage, so nobody had the lead there.
--   grade: Fit grade at that instant, A to F; (none) without one.
--   won_at: When it was won, UTC; null where it was not, or not in this cycle.
--   amount: What it was won for, in currency; null where it was not won, or nobody said.
--   currency: ISO 4217; empty where it was not won, or nobody said.
--   turned_down_at: When its cycle ended in nurture, disqualified or lost, UTC; null where it was
--     won, is open, or entered one of these.
--   watched_days: Days from the entry to the latest instant of the data: so long its course is
--     known.
--   days_to_win: Days from the entry to the win; null without one.
--   days_to_turn_down: Days from the entry to turned_down_at; null without that.
--   leaks: Kinds of leaks that opened for the lead in that stage and cycle, resolved ones too;
--     empty without any.
SELECT
    entries.*,
    opened.leaks AS leaks
FROM {database}.v_entries AS entries
LEFT JOIN
(
    SELECT lead_id, cycle, toString(stage) AS stage, arraySort(groupUniqArray(toString(leak))) AS leaks
    FROM {database}.leaks FINAL
    GROUP BY lead_id, cycle, stage
) AS opened ON opened.lead_id = entries.lead_id AND opened.cycle = entries.cycle AND opened.stage = entries.stage
