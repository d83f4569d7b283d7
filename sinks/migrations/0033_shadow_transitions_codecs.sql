ALTER TABLE {database}.shadow_transitions
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN cause_event_id CODEC(ZSTD(1))
