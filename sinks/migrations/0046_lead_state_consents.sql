ALTER TABLE {database}.lead_state ADD COLUMN IF NOT EXISTS consents Map(LowCardinality(String), LowCardinality(String)) COMMENT 'Latest word of the person on each purpose: granted, denied or unknown. A purpose that is no key was not spoken of.',
    ADD COLUMN IF NOT EXISTS consents_since Map(LowCardinality(String), DateTime64(3, 'UTC')) COMMENT 'When the latest word on each purpose was said, UTC.',
    ADD COLUMN IF NOT EXISTS consent_stops Array(LowCardinality(String)) COMMENT 'What must stop for want of consent by the model: scoring, routing.'
