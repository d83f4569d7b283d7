CREATE TABLE IF NOT EXISTS {database}.erasures
(
    lead_id String COMMENT 'The lead that was erased; also an id that was derived from its e-mail address or visitor id.',
    erased_at DateTime64(3, 'UTC') COMMENT 'Nothing that happened up to this instant is kept, or inserted again.'
)
ENGINE = ReplacingMergeTree(erased_at)
ORDER BY lead_id
COMMENT 'Which leads were erased, so that a replay or a late record does not bring them back; once each after FINAL.'
