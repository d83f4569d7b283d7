-- One row per leak, open or resolved, with who has the lead now and what it is worth.
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
    SELECT lead_id, owner, stage, amount, currency FROM {database}.lead_state FINAL
) AS state ON state.lead_id = leaks.lead_id
