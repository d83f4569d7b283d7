CREATE TABLE IF NOT EXISTS {database}.schema_versions
(
    version UInt32 COMMENT 'Number of the migration; 0 for a view, which is replaced when it changes.',
    script String COMMENT 'Name of the script.',
    md5 FixedString(32) COMMENT 'Digest of the script as applied.',
    created_at DateTime64(3, 'UTC') COMMENT 'When it was applied.'
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (version, script)
COMMENT 'The migrations that were applied to this database.'
