ALTER TABLE {database}.lead_state ADD COLUMN IF NOT EXISTS hot Bool DEFAULT false COMMENT 'More touchpoints than the model lets count: a bot, often.',
    ADD COLUMN IF NOT EXISTS next_mql Array(String) COMMENT 'What each MQL criterion lacks, in words.'
