ALTER TABLE {database}.leaks
    COMMENT COLUMN lead_id 'The lead that leaks.',
    COMMENT COLUMN leak 'mql_without_owner, untouched_at_deadline, accepted_without_activity, rejected_without_reason, unmapped_reason, languishing, oscillating or sql_without_opportunity.',
    COMMENT COLUMN cycle 'Cycle of the lead, from 1; each leak opens at most once in one.',
    COMMENT COLUMN opened_at 'The exact instant at which it opened, UTC.',
    COMMENT COLUMN resolved_at 'When it was mended, UTC; null: it is open.',
    COMMENT COLUMN details 'The policy breached, the wording given, the way the lead swung; may be empty.',
    COMMENT COLUMN resolution 'owner_set, answered, activity, reason_given, stage_left, calmed_down or new_cycle; empty while it is open.',
    COMMENT COLUMN owner 'Who had the lead at the latest event of the leak; empty: nobody.',
    COMMENT COLUMN grade 'Fit grade of the lead at the latest event, A to F.',
    COMMENT COLUMN model_version 'Version of the model that saw it.',
    COMMENT COLUMN partition 'Partition that the sink read; -1 for a replay.',
    COMMENT COLUMN offset 'Offset that the sink read; -1 for a replay.'
