-- As of: the latest instant that the data knows of. Ages count up to it, so that a replayed history
-- answers the same every day.
SELECT greatest(max(last_event_at), max(score_as_of)) AS as_of
FROM {database}.lead_state
