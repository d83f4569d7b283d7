-- One row per clock with its outcome; a retracted response or breach leaves the clock as it was before.
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
