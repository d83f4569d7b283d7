-- Why leads were turned down or sent back, by where they came from and who decided.
-- Columns:
--   to_stage: nurture, disqualified or lost: what became of the lead.
--   reason: Reason of the taxonomy, e.g. no_budget; (none) where none was given: a leak.
--   from_stage: The stage that the lead left.
--   channel: Of the first touchpoint; (none) where it named none.
--   owner: Who had the lead then; (none) where nobody did.
--   transitions: How often it happened; a lead may be turned down once a cycle.
--   leads: Distinct leads to which it happened. Not to be summed over rows.
SELECT
    to_stage,
    reason,
    from_stage,
    channel,
    owner,
    count() AS transitions,
    uniqExact(lead_id) AS leads
FROM
(
    SELECT
        lead_id,
        t.to_stage AS to_stage,
        t.from_stage AS from_stage,
        if(t.reason = '', '(none)', t.reason) AS reason,
        if(t.channel = '', '(none)', t.channel) AS channel,
        if(t.owner = '', '(none)', t.owner) AS owner
    FROM {database}.transitions AS t FINAL
    WHERE t.to_stage IN ('nurture', 'disqualified', 'lost')
)
GROUP BY to_stage, reason, from_stage, channel, owner
