CREATE TABLE IF NOT EXISTS {database}.crm_events_by_lead AS {database}.crm_events
ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY (lead_id, occurred_at, event_id)
COMMENT 'What happened to leads in the CRM, once per event and instant after FINAL.'
