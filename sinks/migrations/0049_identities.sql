CREATE TABLE IF NOT EXISTS {database}.identities
(
    lead_id String COMMENT 'An id that others claimed or that was merged, now or before: a visitor, an address, another system''s id, a lead.',
    revision UInt64 COMMENT 'The highest one of an id wins.',
    `owners.since` Array(DateTime64(3, 'UTC')) COMMENT 'From when on what happens under it belongs to each of owners.lead_id, in turn; 1900: from the first on.',
    `owners.lead_id` Array(String) COMMENT 'To whom it belongs, in turn; empty: to itself again.',
    first_event_at DateTime64(3, 'UTC') COMMENT 'First thing that happened under it.',
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT '-1 for a replay.',
    offset Int64 COMMENT '-1 for a replay.' CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY lead_id
COMMENT 'Whose an id is, after FINAL; v_identities follows it to the lead in the end.'
