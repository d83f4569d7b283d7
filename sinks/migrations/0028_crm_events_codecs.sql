ALTER TABLE {database}.crm_events
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN source_event_id CODEC(ZSTD(1)),
    MODIFY COLUMN opportunity_id CODEC(ZSTD(1)),
    MODIFY COLUMN attributes CODEC(ZSTD(1)),
    MODIFY COLUMN crm_lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN merged_lead_id CODEC(ZSTD(1))
