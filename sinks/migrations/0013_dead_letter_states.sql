ALTER TABLE {database}.dead_letters ADD COLUMN IF NOT EXISTS status LowCardinality(String) DEFAULT 'open' COMMENT 'open, or replayed: sent again, and it has not failed again so far.',
    ADD COLUMN IF NOT EXISTS attempts UInt32 DEFAULT 1 COMMENT 'How often it has failed.',
    ADD COLUMN IF NOT EXISTS replayed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was sent again for the last time.',
    ADD COLUMN IF NOT EXISTS changed_at DateTime64(3, 'UTC') COMMENT 'When it got this state; the latest is the present one.',
    MODIFY ORDER BY (source_topic, source_partition, source_offset, changed_at),
    MODIFY COMMENT 'Records that could not be processed, each state of them once after FINAL; v_dead_letters has the present one.'
