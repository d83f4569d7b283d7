ALTER TABLE {database}.lead_state
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN attributes CODEC(ZSTD(1)),
    MODIFY COLUMN reached CODEC(ZSTD(1)),
    MODIFY COLUMN next_mql CODEC(ZSTD(1)),
    MODIFY COLUMN opportunity_id CODEC(ZSTD(1)),
    MODIFY COLUMN stage_since CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN score_as_of CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN first_event_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN last_event_at CODEC(Delta, ZSTD(1))
