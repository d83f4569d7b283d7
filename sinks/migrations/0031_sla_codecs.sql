ALTER TABLE {database}.sla
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN met_by_event_id CODEC(ZSTD(1)),
    MODIFY COLUMN occurred_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN started_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN warn_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN due_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN warned_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN met_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN breached_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN cancelled_at CODEC(Delta, ZSTD(1))
