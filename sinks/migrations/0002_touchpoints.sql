CREATE TABLE IF NOT EXISTS {database}.touchpoints
(
    lead_id String COMMENT 'The lead it belongs to, or anon:<anonymous_id> while nobody is known.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, corrected for a skewed device clock.' CODEC(Delta, ZSTD),
    event_id UUID COMMENT 'The id of the source, or its UUIDv5 where that is no UUID.',
    source_event_id String COMMENT 'The id as the source gave it.',
    type LowCardinality(String) COMMENT 'page_viewed, form_submitted, ...',
    channel LowCardinality(String) COMMENT 'Empty where the source named none, which is not the value unknown.',
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String) COMMENT 'Empty where the source named none.',
    content String,
    term String,
    url String,
    referrer String,
    asset String COMMENT 'The content piece, landing page, webinar or event.',
    category LowCardinality(String) COMMENT 'Kind of page or asset, e.g. pricing.',
    anonymous_id String,
    email String,
    properties Map(LowCardinality(String), String),
    event_time DateTime64(3, 'UTC') COMMENT 'When it happened, by the clock of the device.' CODEC(Delta, ZSTD),
    sent_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the device sent it, by the same clock.' CODEC(Delta, ZSTD),
    received_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When our side received it.' CODEC(Delta, ZSTD),
    ingest_time DateTime64(3, 'UTC') COMMENT 'Timestamp of the input record on the broker.' CODEC(Delta, ZSTD),
    source_topic LowCardinality(String) COMMENT 'Topic of the input record.',
    source_partition Int32,
    source_offset Int64 CODEC(Delta, ZSTD),
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT '-1 for a replay.',
    offset Int64 COMMENT '-1 for a replay.' CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (lead_id, occurred_at, event_id)
COMMENT 'What leads and unknown visitors did, once per event after FINAL.'
