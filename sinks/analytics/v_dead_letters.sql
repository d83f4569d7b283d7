-- The present state of every record that could not be processed; id as `leadstream dlq` shows it.
SELECT
    concat(source_topic, '-', toString(source_partition), '-', toString(source_offset)) AS id,
    source_topic,
    source_partition,
    source_offset,
    kind,
    error,
    status,
    attempts,
    failed_at,
    replayed_at,
    changed_at,
    key,
    value
FROM {database}.dead_letters FINAL
ORDER BY source_topic, source_partition, source_offset, changed_at DESC
LIMIT 1 BY source_topic, source_partition, source_offset
