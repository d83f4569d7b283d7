CREATE TABLE IF NOT EXISTS {database}.shadow_transitions
(
    model_version LowCardinality(String) COMMENT 'The candidate that ran beside the active versions.',
    lead_id String,
    seq UInt32 COMMENT 'Position in the transitions of the lead under the candidate, from 0.',
    id UUID COMMENT 'The same on every replay.',
    revision UInt64 COMMENT 'The highest one at a position wins.',
    status LowCardinality(String) COMMENT 'effective, or retracted by a late event.',
    retracted UInt8 COMMENT '1: FINAL drops the row.',
    cycle UInt32,
    from_stage LowCardinality(String),
    to_stage LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') COMMENT 'The instant at which it would have happened, in event time.' CODEC(Delta, ZSTD),
    inferred Bool COMMENT 'The CRM skipped this stage.',
    cause LowCardinality(String) COMMENT 'As in transitions; shadow_started: from here on the candidate decides.',
    cause_event_id String,
    cause_type LowCardinality(String),
    criterion LowCardinality(String),
    reason LowCardinality(String),
    score Float64,
    fit Float64,
    engagement Float64,
    grade LowCardinality(String) COMMENT 'A to F, from fit.',
    threshold Nullable(Float64),
    margin Nullable(Float64),
    route LowCardinality(String),
    topic LowCardinality(String) COMMENT 'Topic that the sink read.',
    partition Int32,
    offset Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision, retracted)
ORDER BY (model_version, lead_id, seq)
COMMENT 'What candidate models would have decided, after FINAL; nobody was routed by it.'
