ALTER TABLE {database}.transitions
    COMMENT COLUMN cause 'identified, hand_raise, criteria, sales_found, crm, inferred, decay, cooldown, model or consent.'
