-- One row per clock with its outcome; a retracted response or breach leaves the clock as it was before.
-- Columns:
--   policy: Policy of the model that the clock serves.
--   lead_id: The lead that waits.
--   clock: Id of the clock: one per lead, cycle, policy and starting transition.
--   cycle: Cycle of the lead in which it started.
--   owner: Who has to answer; empty: nobody had the lead.
--   grade: Fit grade of the lead at the latest event of the clock, A to F.
--   started_at: The exact instant at which it started, UTC.
--   due_at: The deadline, reckoned on business time, UTC.
--   target_s: Allowed time, business seconds.
--   outcome: met, met_late (after the deadline), breached (and not answered), cancelled, or open.
--   answered_at: When somebody answered, UTC; null: nobody did.
--   answered_after_s: From the start to the answer, business seconds; null: nobody answered.
--   transition_id: The transition that started the clock, transitions.id.
--   model_version: Version of the model whose policy it is.
SELECT
    policy,
    lead_id,
    clock,
    cycle,
    owner,
    grade,
    started_at,
    due_at,
    target_s,
    multiIf(
        event = 'met' AND status = 'effective', if(met_at <= due_at, 'met', 'met_late'),
        event = 'cancelled' AND status = 'effective', 'cancelled',
        isNotNull(breached_at) AND NOT (event = 'breached' AND status = 'retracted'), 'breached',
        'open'
    ) AS outcome,
    if(outcome IN ('met', 'met_late'), met_at, NULL) AS answered_at,
    if(outcome IN ('met', 'met_late'), response_s, NULL) AS answered_after_s,
    transition_id,
    model_version
FROM {database}.sla FINAL
