CREATE TABLE IF NOT EXISTS {database}.sla
(
    policy LowCardinality(String),
    lead_id String,
    clock UUID COMMENT 'One per lead, cycle, policy and starting transition.',
    id UUID COMMENT 'Of the latest event of the clock.',
    revision UInt64 COMMENT 'The highest one of a clock wins.',
    status LowCardinality(String) COMMENT 'effective, or retracted by a late event.',
    retracted UInt8 COMMENT '1: the clock never started; FINAL drops the row.',
    cycle UInt32,
    event LowCardinality(String) COMMENT 'started, warned, met, breached or cancelled.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'The exact instant of the event.',
    transition_id UUID COMMENT 'The transition that started the clock.',
    started_at DateTime64(3, 'UTC'),
    warn_at Nullable(DateTime64(3, 'UTC')),
    due_at DateTime64(3, 'UTC'),
    warned_at Nullable(DateTime64(3, 'UTC')),
    met_at Nullable(DateTime64(3, 'UTC')),
    breached_at Nullable(DateTime64(3, 'UTC')),
    cancelled_at Nullable(DateTime64(3, 'UTC')),
    target_s Int64 COMMENT 'Allowed time, business seconds.',
    response_s Nullable(Int64) COMMENT 'Business seconds until the response.',
    met_by_event_id String COMMENT 'source_event_id of the response.',
    owner LowCardinality(String),
    grade LowCardinality(String),
    model_version LowCardinality(String),
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT '-1 for a replay.',
    offset Int64 COMMENT '-1 for a replay.' CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision, retracted)
ORDER BY (policy, lead_id, clock)
COMMENT 'The latest event of each SLA clock, after FINAL.'
