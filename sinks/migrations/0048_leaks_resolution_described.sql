ALTER TABLE {database}.leaks
    COMMENT COLUMN resolution 'owner_set, answered, activity, reason_given, stage_left, calmed_down, new_cycle or consent; empty while it is open.'
