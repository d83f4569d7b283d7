CREATE ROLE IF NOT EXISTS {writer};

GRANT SELECT, INSERT, ALTER UPDATE, ALTER DELETE, OPTIMIZE ON {database}.* TO {writer};

GRANT TRUNCATE ON {database}.sink_positions TO {writer};

CREATE ROLE IF NOT EXISTS {analyst};

GRANT SELECT ON {database}.* TO {analyst};

REVOKE SELECT ON {database}.dead_letters FROM {analyst};

GRANT SELECT(source_topic, source_partition, source_offset, kind, status, attempts, failed_at, replayed_at, changed_at)
    ON {database}.dead_letters TO {analyst};

CREATE SETTINGS PROFILE OR REPLACE {analyst} SETTINGS
    readonly = 2 READONLY,
    max_memory_usage = 4000000000 MIN 1 MAX 4000000000,
    max_execution_time = 60 MIN 1 MAX 60,
    max_result_rows = 1000000 MIN 1 MAX 1000000,
    max_concurrent_queries_for_user = 8 MIN 1 MAX 8
    TO {analyst};
