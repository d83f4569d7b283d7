ALTER TABLE {database}.dead_letters
    COMMENT COLUMN source_partition 'Partition of that record.',
    COMMENT COLUMN source_offset 'Offset of that record.',
    COMMENT COLUMN error 'What was wrong with it, in words.',
    COMMENT COLUMN failed_at 'When it failed last, UTC.',
    COMMENT COLUMN key 'Key of the record, its original bytes; empty: it had none.',
    COMMENT COLUMN value 'Value of the record, its original bytes; may hold personal data.',
    COMMENT COLUMN replayed_at 'When it was sent again for the last time, UTC; null: never.',
    COMMENT COLUMN partition 'Partition that the sink read.',
    COMMENT COLUMN offset 'Offset that the sink read.'
