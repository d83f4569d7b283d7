CREATE TABLE IF NOT EXISTS {database}.leaks
(
    lead_id String,
    leak LowCardinality(String) COMMENT 'What leaks, for example mql_without_owner.',
    cycle UInt32 COMMENT 'Each leak opens at most once in a cycle of a lead.',
    id UUID COMMENT 'Of the latest event of the leak.',
    revision UInt64 COMMENT 'The highest one of a leak wins.',
    status LowCardinality(String) COMMENT 'effective, or retracted by a late event.',
    retracted UInt8 COMMENT '1: the leak never opened; FINAL drops the row.',
    event LowCardinality(String) COMMENT 'opened or resolved.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'The exact instant of the event.',
    opened_at DateTime64(3, 'UTC'),
    resolved_at Nullable(DateTime64(3, 'UTC')),
    stage LowCardinality(String) COMMENT 'Stage of the lead when the leak opened.',
    transition_id UUID COMMENT 'The transition after which it opened.',
    details String COMMENT 'The policy breached, the wording given, the way the lead swung.',
    resolution LowCardinality(String) COMMENT 'Why it is resolved; empty while it is open.',
    cause_event_id String COMMENT 'source_event_id of what opened or resolved it; empty: the time did.',
    owner LowCardinality(String),
    grade LowCardinality(String),
    model_version LowCardinality(String),
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT '-1 for a replay.',
    offset Int64 COMMENT '-1 for a replay.' CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision, retracted)
ORDER BY (lead_id, leak, cycle)
COMMENT 'The latest event of each leak, after FINAL.'
