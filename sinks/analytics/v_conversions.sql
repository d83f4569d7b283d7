-- Conversions: one row per lead, cycle and stage that counts as one (mql, sql, opportunity, won).
-- A stage is reached once a cycle: a reopened opportunity is no second one. Revenue is what the lead
-- was won for in the same cycle, and 0 where it was not won, or for no amount.
-- Columns:
--   conversion: mql, sql, opportunity or won.
--   lead_id: The lead that converted.
--   id: Id of the transition that is the conversion, transitions.id.
--   cycle: Cycle of the lead in which it converted, from 1.
--   converted_at: When the lead entered the stage, UTC.
--   known_at: When the lead became known, UTC; null where it never did.
--   opportunity_at: When it became an opportunity in the same cycle, UTC; null where it did not.
--   revenue: What the lead was won for in the same cycle, in currency; 0 without a win.
--   currency: ISO 4217, of the win; empty where there is none. Do not sum over currencies.
SELECT
    if(step.stage = 'customer', 'won', step.stage) AS conversion,
    lead_id,
    step.id AS id,
    step.cycle AS cycle,
    step.at AS converted_at,
    known_at,
    if(opened.cycle = 0, NULL, opened.at) AS opportunity_at,
    ifNull(won.amount, 0)::Decimal(18, 2) AS revenue,
    won.currency AS currency
FROM
(
    SELECT
        lead_id,
        minOrNullIf(occurred_at, to_stage = 'known') AS known_at,
        arraySort(step -> step.seq, groupArrayIf((seq, cycle, toString(to_stage), occurred_at, id)::Tuple(
            seq UInt32, cycle UInt32, stage String, at DateTime64(3, 'UTC'), id UUID
        ), to_stage != 'known')) AS steps,
        arrayFilter(
            (step, nth) -> nth = 1, steps, arrayEnumerateUniq(arrayMap(step -> concat(toString(step.cycle), step.stage), steps))
        ) AS firsts,
        -- A lambda copies the arrays that it reads for each element, so they are made short before.
        arraySort(step -> step.seq, groupArrayIf((seq, cycle, occurred_at)::Tuple(
            seq UInt32, cycle UInt32, at DateTime64(3, 'UTC')
        ), to_stage = 'opportunity')) AS opened_steps,
        arraySort(step -> step.seq, groupArrayIf((seq, cycle, amount, toString(currency))::Tuple(
            seq UInt32, cycle UInt32, amount Nullable(Decimal(18, 2)), currency String
        ), to_stage = 'customer')) AS won_steps,
        arrayMap(f -> arrayFirst(s -> s.cycle = f.cycle, opened_steps), firsts) AS openings,
        arrayMap(f -> arrayFirst(s -> s.cycle = f.cycle, won_steps), firsts) AS wins
    FROM {database}.transitions FINAL
    WHERE to_stage IN ('known', 'mql', 'sql', 'opportunity', 'customer')
    GROUP BY lead_id
)
ARRAY JOIN firsts AS step, openings AS opened, wins AS won
