CREATE TABLE IF NOT EXISTS {database}.dead_letters
(
    source_topic LowCardinality(String) COMMENT 'Topic of the record that could not be processed.',
    source_partition Int32,
    source_offset Int64,
    kind LowCardinality(String) COMMENT 'Class of the fault, e.g. not_avro.',
    error String COMMENT 'What was wrong.',
    failed_at DateTime64(3, 'UTC'),
    key String COMMENT 'Original bytes.',
    value String COMMENT 'Original bytes.',
    topic LowCardinality(String) COMMENT 'Topic that the sink read.',
    partition Int32,
    offset Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (source_topic, source_partition, source_offset)
COMMENT 'Records that could not be processed, and why; once each after FINAL.'
