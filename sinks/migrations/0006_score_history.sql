CREATE TABLE IF NOT EXISTS {database}.score_history
(
    lead_id String,
    seq UInt32 COMMENT 'Position of the transition at which the score was taken.',
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    stage LowCardinality(String) COMMENT 'The stage entered.',
    cycle UInt32,
    score Float64 COMMENT 'Total.',
    fit Float64,
    engagement Float64,
    grade LowCardinality(String) COMMENT 'A to F, from fit.',
    model_version LowCardinality(String),
    revision UInt64 COMMENT 'The highest one at a position wins.',
    retracted UInt8 COMMENT '1: FINAL drops the row.',
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT '-1 for a replay.',
    offset Int64 COMMENT '-1 for a replay.' CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision, retracted)
ORDER BY (lead_id, seq)
COMMENT 'The score of a lead at each of its effective transitions, after FINAL.'
