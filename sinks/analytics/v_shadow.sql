-- One row per candidate and lead that it follows: when it and when the active versions first handed it over since.
-- Columns:
--   candidate: Version of the model that runs in the shadow.
--   lead_id: The lead that it follows.
--   followed_since: From when on the candidate decided about the lead, UTC.
--   is_active_mql: 1: the active versions made it an MQL since then.
--   is_candidate_mql: 1: the candidate would have made it an MQL since then.
--   active_at: When the active versions first did, UTC; null: never.
--   candidate_at: When the candidate first would have, UTC; null: never.
--   active_criterion: Criterion by which the active version decided; empty: it did not, or by none.
--   candidate_criterion: Criterion by which the candidate decided; empty: it did not, or by none.
--   active_grade: Fit grade by the active version at that instant; empty: it is no MQL.
--   candidate_grade: Fit grade by the candidate at that instant; empty: it is no MQL.
WITH followed AS
(
    SELECT model_version AS candidate, lead_id, min(occurred_at) AS followed_since
    FROM {database}.shadow_transitions FINAL
    GROUP BY candidate, lead_id
)
SELECT
    candidate,
    lead_id,
    minIf(at, side = 'followed') AS followed_since,
    countIf(side = 'active') > 0 AS is_active_mql,
    countIf(side = 'candidate') > 0 AS is_candidate_mql,
    if(is_active_mql, minIf(at, side = 'active'), NULL) AS active_at,
    if(is_candidate_mql, minIf(at, side = 'candidate'), NULL) AS candidate_at,
    argMinIf(of_criterion, at, side = 'active') AS active_criterion,
    argMinIf(of_criterion, at, side = 'candidate') AS candidate_criterion,
    argMinIf(of_grade, at, side = 'active') AS active_grade,
    argMinIf(of_grade, at, side = 'candidate') AS candidate_grade
FROM
(
    SELECT candidate, lead_id, 'followed' AS side, followed_since AS at, '' AS of_criterion, '' AS of_grade
    FROM followed
    UNION ALL
    SELECT model_version, lead_id, 'candidate', occurred_at, criterion, grade
    FROM {database}.shadow_transitions FINAL
    WHERE to_stage = 'mql' AND from_stage != 'mql' AND NOT inferred
    UNION ALL
    SELECT followed.candidate, mql.lead_id, 'active', mql.occurred_at, mql.criterion, mql.grade
    FROM (SELECT lead_id, occurred_at, criterion, grade FROM {database}.transitions FINAL WHERE to_stage = 'mql' AND NOT inferred) AS mql
    INNER JOIN followed ON followed.lead_id = mql.lead_id
    WHERE mql.occurred_at >= followed.followed_since
)
GROUP BY candidate, lead_id
