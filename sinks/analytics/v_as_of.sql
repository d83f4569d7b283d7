-- As of: the latest instant that the data knows of. Ages count up to it, so that a replayed history
-- answers the same every day.
-- Columns:
--   as_of: The latest event or instant for which a score was computed, UTC; 1970 of an empty
--     database.
SELECT greatest(max(last_event_at), max(score_as_of)) AS as_of
FROM {database}.lead_state
