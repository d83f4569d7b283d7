ALTER TABLE {database}.lead_state ADD COLUMN IF NOT EXISTS account String COMMENT 'The account it belongs to: crm:<id>, group:<id> or domain:<domain>; empty where nobody told one, or the model knows no accounts.',
    ADD COLUMN IF NOT EXISTS buying_group Array(LowCardinality(String)) COMMENT 'Personas that the model wants among the engaged people of an account.'
