-- Absorbed: the leads that were merged into another one, and do not count beside it.
-- Columns:
--   lead_id: The lead that was absorbed.
SELECT lead_id
FROM {database}.lead_state FINAL
WHERE stage = 'merged' OR merged_into != ''
