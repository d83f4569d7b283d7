CREATE DICTIONARY IF NOT EXISTS {database}.lead_of
(
    id String,
    since DateTime64(3, 'UTC'),
    until DateTime64(3, 'UTC'),
    lead_id String
)
PRIMARY KEY id
SOURCE(CLICKHOUSE(QUERY 'SELECT id, since, until, lead_id FROM {database}.v_identities'))
LAYOUT(COMPLEX_KEY_RANGE_HASHED())
RANGE(MIN since MAX until)
LIFETIME(MIN 30 MAX 60)
COMMENT 'v_identities in memory, up to a minute old: dictGetOrDefault(\'lead_of\', \'lead_id\', tuple(id), at, id).'
