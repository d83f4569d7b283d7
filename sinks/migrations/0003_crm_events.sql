CREATE TABLE IF NOT EXISTS {database}.crm_events
(
    lead_id String COMMENT 'The lead it belongs to.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened.' CODEC(Delta, ZSTD),
    event_id UUID COMMENT 'The id of the source, or its UUIDv5 where that is no UUID.',
    source_event_id String COMMENT 'The id as the source gave it.',
    type LowCardinality(String) COMMENT 'lead_accepted, opportunity_won, ...',
    actor LowCardinality(String) COMMENT 'Who did it.',
    owner LowCardinality(String) COMMENT 'Who owns the lead from then on.',
    reason LowCardinality(String) COMMENT 'The wording of the CRM.',
    stage LowCardinality(String) COMMENT 'The stage of the CRM.',
    opportunity_id String,
    amount Nullable(Decimal(18, 2)),
    currency LowCardinality(String) COMMENT 'ISO 4217.',
    attributes Map(LowCardinality(String), String) COMMENT 'Facts about the person or company.',
    crm_lead_id String COMMENT 'The lead as the CRM named it.',
    merged_lead_id String COMMENT 'lead_merged: the lead that was absorbed.',
    event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
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
COMMENT 'What happened to leads in the CRM, once per event after FINAL.'
