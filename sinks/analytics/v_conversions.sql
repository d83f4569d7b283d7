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
    if(opportunity.stage = '', NULL, opportunity.at) AS opportunity_at,
    ifNull(won.amount, 0)::Decimal(18, 2) AS revenue,
    won.currency AS currency
FROM
(
    SELECT
        lead_id,
        minOrNullIf(occurred_at, to_stage = 'known') AS known_at,
        arraySort(step -> step.seq, groupArray((seq, toString(to_stage), cycle, occurred_at, id, amount, toString(currency))::Tuple(
            seq UInt32, stage String, cycle UInt32, at DateTime64(3, 'UTC'), id UUID,
            amount Nullable(Decimal(18, 2)), currency String
        ))) AS steps,
        arrayMap(step -> (step.stage, step.cycle), steps) AS kinds,
        arrayFilter(
            (step, place) -> step.stage != 'known' AND indexOf(kinds, (step.stage, step.cycle)) = place,
            steps, arrayEnumerate(steps)
        ) AS firsts,
        arrayMap(f -> arrayFirst(s -> s.stage = 'opportunity' AND s.cycle = f.cycle, steps), firsts) AS opportunities,
        arrayMap(f -> arrayFirst(s -> s.stage = 'customer' AND s.cycle = f.cycle, steps), firsts) AS wins
    FROM {database}.transitions FINAL
    WHERE to_stage IN ('known', 'mql', 'sql', 'opportunity', 'customer')
    GROUP BY lead_id
)
ARRAY JOIN firsts AS step, opportunities AS opportunity, wins AS won
