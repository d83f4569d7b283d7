ALTER TABLE {database}.touchpoints
    MODIFY COLUMN lead_id CODEC(ZSTD(1)),
    MODIFY COLUMN source_event_id CODEC(ZSTD(1)),
    MODIFY COLUMN content CODEC(ZSTD(1)),
    MODIFY COLUMN term CODEC(ZSTD(1)),
    MODIFY COLUMN url CODEC(ZSTD(1)),
    MODIFY COLUMN referrer CODEC(ZSTD(1)),
    MODIFY COLUMN asset CODEC(ZSTD(1)),
    MODIFY COLUMN anonymous_id CODEC(ZSTD(1)),
    MODIFY COLUMN email CODEC(ZSTD(1)),
    MODIFY COLUMN properties CODEC(ZSTD(1))
