CREATE TABLE IF NOT EXISTS {database}.touchpoints_by_lead AS {database}.touchpoints
ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY (lead_id, occurred_at, event_id)
COMMENT 'What leads and unknown visitors did, once per event and instant after FINAL.'
