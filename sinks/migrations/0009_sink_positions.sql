CREATE TABLE IF NOT EXISTS {database}.sink_positions
(
    topic LowCardinality(String),
    partition Int32,
    next_offset UInt64 COMMENT 'Every record before it is in the tables; written after them.'
)
ENGINE = ReplacingMergeTree(next_offset)
ORDER BY (topic, partition)
COMMENT 'Where the sink resumes: one batch feeds several tables, so their offsets cannot tell.'
