-- One row per leak, open or resolved, with who has the lead now and what it is worth.
-- Columns:
--   lead_id: The lead that leaks.
--   leak: What leaks, e.g. mql_without_owner.
--   cycle: Cycle of the lead; each leak opens at most once in one.
--   is_resolved: 1: mended; 0: it leaks now.
--   opened_at: The exact instant at which it opened, UTC.
--   resolved_at: When it was mended, UTC; null while it is open.
--   resolution: Why it is resolved, e.g. owner_set; empty while it is open.
--   stage: Stage of the lead when the leak opened.
--   details: The policy breached, the wording given, the way the lead swung; may be empty.
--   grade: Fit grade at the latest event of the leak, A to F.
--   owner: Who had the lead when it was resolved; of an open leak, who has it now; empty: nobody.
--   stage_now: Present stage of the lead; empty where its state is not known.
--   amount: What its opportunity is worth, in currency; null where nobody said.
--   currency: ISO 4217; empty where nobody said.
--   transition_id: The transition after which it opened, transitions.id.
--   model_version: Version of the model that saw it.
SELECT
    leaks.lead_id AS lead_id,
    leaks.leak AS leak,
    leaks.cycle AS cycle,
    leaks.event = 'resolved' AND leaks.status = 'effective' AS is_resolved,
    leaks.opened_at AS opened_at,
    if(is_resolved, leaks.resolved_at, NULL) AS resolved_at,
    if(is_resolved, toString(leaks.resolution), '') AS resolution,
    leaks.stage AS stage,
    leaks.details AS details,
    leaks.grade AS grade,
    -- An open leak is whoever's the lead is now.
    if(is_resolved, toString(leaks.owner), toString(state.owner)) AS owner,
    state.stage AS stage_now,
    state.amount AS amount,
    state.currency AS currency,
    leaks.transition_id AS transition_id,
    leaks.model_version AS model_version
FROM (SELECT * FROM {database}.leaks FINAL) AS leaks
LEFT JOIN
(
    SELECT lead_id, owner, stage, amount, currency
    FROM {database}.lead_state FINAL
    WHERE lead_id IN (SELECT lead_id FROM {database}.leaks)
) AS state ON state.lead_id = leaks.lead_id
