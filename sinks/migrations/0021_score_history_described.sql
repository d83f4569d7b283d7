ALTER TABLE {database}.score_history
    COMMENT COLUMN lead_id 'The lead that was scored.',
    COMMENT COLUMN seq 'Position of the transition at which the score was taken, as transitions.seq.',
    COMMENT COLUMN occurred_at 'The instant of the transition, UTC.',
    COMMENT COLUMN cycle 'Cycle of the lead, from 1; grows when it comes back from nurture or disqualified.',
    COMMENT COLUMN score 'Points in all at that instant.',
    COMMENT COLUMN fit 'Points of the fit rules, at the same instant.',
    COMMENT COLUMN engagement 'Points of the engagement rules, capped and decayed, at the same instant.',
    COMMENT COLUMN model_version 'Version of the model that decided.',
    COMMENT COLUMN partition 'Partition that the sink read; -1 for a replay.',
    COMMENT COLUMN offset 'Offset that the sink read; -1 for a replay.'
