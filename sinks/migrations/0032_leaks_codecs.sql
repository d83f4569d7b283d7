ALTER TABLE {database}.leaks
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN details CODEC(ZSTD(1)),
    MODIFY COLUMN cause_event_id CODEC(ZSTD(1)),
    MODIFY COLUMN occurred_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN opened_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN resolved_at CODEC(Delta, ZSTD(1))
