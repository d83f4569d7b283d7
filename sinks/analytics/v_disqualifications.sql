-- Why leads were turned down or sent back, by where they came from and who decided.
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
