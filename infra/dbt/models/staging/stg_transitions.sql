-- The changes of stage that hold, in their order; of leads that another absorbed there are none.
SELECT
    lead_id,
    seq,
    id,
    cycle,
    from_stage,
    to_stage,
    occurred_at,
    inferred,
    cause,
    criterion,
    reason,
    owner,
    grade,
    score,
    model_version
FROM {{ source('leads', 'transitions') }} FINAL
WHERE lead_id IN (SELECT lead_id FROM {{ ref('stg_leads') }})
