-- The present state of every record that could not be processed; id as `leadstream dlq` shows it.
-- Columns:
--   id: topic-partition-offset of the record, as leadstream dlq takes it.
--   source_topic: Topic of the record that could not be processed.
--   source_partition: Partition of that record, from 0.
--   source_offset: Place of the record in that partition, from 0.
--   kind: Class of the fault, e.g. not_avro.
--   error: What was wrong with it, in words.
--   status: open, or replayed: sent again, and it has not failed again so far.
--   attempts: How often it has failed, from 1.
--   failed_at: When it failed last, UTC.
--   replayed_at: When it was sent again for the last time, UTC; null: never.
--   changed_at: When it got its present status, UTC.
--   key: Key of the record, its original bytes.
--   value: Value of the record, its original bytes; may hold personal data.
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
