CREATE TABLE IF NOT EXISTS {database}.account_state
(
    account String COMMENT 'As crm:<id>, group:<id> or domain:<domain>.' CODEC(ZSTD(1)),
    revision UInt64 COMMENT 'The highest one of an account wins.',
    as_of DateTime64(3, 'UTC') COMMENT 'When the latest of its leads came to stand as it does.' CODEC(Delta, ZSTD(1)),
    people UInt32 COMMENT 'Leads that are known, or were.',
    visitors UInt32 COMMENT 'Leads of whom nobody is known yet.',
    engaged_people UInt32 COMMENT 'Leads that stand at engaged or a later stage of the main line now.',
    stage LowCardinality(String) COMMENT 'Present stage of the lead that stands furthest; nurture, lost or disqualified where nobody is on the main line.',
    score Float64 COMMENT 'Engagement and fit together, as of what each lead told its account last: v_accounts is newer where a score moved by less than the score_step of the model.',
    engagement Float64 COMMENT 'Points for what its leads do, added up; who is disqualified or lost gives none.',
    fit Float64 COMMENT 'The best points for who one of its leads is.',
    covered Array(LowCardinality(String)) COMMENT 'Personas of the buying group that an engaged lead has.',
    missing Array(LowCardinality(String)) COMMENT 'Personas of the buying group that no engaged lead has.',
    has_buying_group Bool COMMENT 'Whether every persona that the model wants is covered; false where it wants none.',
    model_version LowCardinality(String) COMMENT 'Version of the model that was active then.',
    topic LowCardinality(String) COMMENT 'Topic that the sink read; empty for a replay.',
    partition Int32 COMMENT 'Of that topic; -1 for a replay.',
    offset Int64 COMMENT 'In that partition; -1 for a replay.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY account
COMMENT 'The latest of each account as the streams told it, after FINAL; v_accounts counts it from lead_state.'
