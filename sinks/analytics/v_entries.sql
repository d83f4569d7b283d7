-- Entries: the first arrival of a lead in a stage, once a cycle, and what became of it: won, turned
-- down for good, or still open. A win counts in the cycle of the entry; for nurture, disqualified and
-- lost, which end a cycle, any later win does. `v_handoffs` has the leaks as well.
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
SELECT
    lead_id,
    entry.cycle AS cycle,
    entry.stage AS stage,
    entry.at AS entered_at,
    entry.inferred AS inferred,
    entry.grade AS grade,
    if(win.cycle = 0, NULL, win.at) AS won_at,
    if(win.cycle = 0, NULL, win.amount) AS amount,
    win.currency AS currency,
    if(win.cycle != 0 OR ending.cycle = 0 OR entry.is_aside, NULL, ending.at) AS turned_down_at,
    greatest(date_diff('millisecond', entered_at, assumeNotNull((SELECT as_of FROM {database}.v_as_of))), 0) / 86400000 AS watched_days,
    date_diff('millisecond', entered_at, won_at) / 86400000 AS days_to_win,
    date_diff('millisecond', entered_at, turned_down_at) / 86400000 AS days_to_turn_down
FROM
(
    SELECT
        lead_id,
        arraySort(step -> step.seq, groupArray((
            seq, cycle, toString(to_stage), occurred_at, inferred, if(grade = '', '(none)', toString(grade)),
            to_stage IN ('nurture', 'disqualified', 'lost')
        )::Tuple(
            seq UInt32, cycle UInt32, stage String, at DateTime64(3, 'UTC'), inferred Bool, grade String, is_aside Bool
        ))) AS steps,
        arrayFilter(
            (step, nth) -> nth = 1, steps, arrayEnumerateUniq(arrayMap(step -> concat(toString(step.cycle), step.stage), steps))
        ) AS entries,
        -- A lambda copies the arrays that it reads for each element, so they are made short before.
        arraySort(step -> step.seq, groupArrayIf((seq, cycle, occurred_at, amount, toString(currency))::Tuple(
            seq UInt32, cycle UInt32, at DateTime64(3, 'UTC'), amount Nullable(Decimal(18, 2)), currency String
        ), to_stage = 'customer')) AS won_steps,
        arrayMap(e -> arrayFirst(s -> s.seq >= e.seq AND (s.cycle = e.cycle OR e.is_aside), won_steps), entries) AS wins,
        -- What a cycle ended with: the first step aside after which it did not go on.
        arrayFilter(
            s -> NOT arrayExists(other -> other.cycle = s.cycle AND other.seq > s.seq AND NOT other.is_aside, steps),
            arrayFilter(step -> step.is_aside, steps)
        ) AS last_steps,
        arrayMap(e -> arrayFirst(s -> s.cycle = e.cycle, last_steps), entries) AS endings
    FROM {database}.transitions FINAL
    WHERE lead_id NOT IN (SELECT lead_id FROM {database}.v_absorbed)
    GROUP BY lead_id
)
ARRAY JOIN entries AS entry, wins AS win, endings AS ending
