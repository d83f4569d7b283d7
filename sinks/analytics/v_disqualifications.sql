-- Why leads were turned down or sent back, by where they came from and who decided.
SELECT
    to_stage,
    if(reason = '', '(none)', reason) AS reason_shown,
    from_stage,
    if(channel = '', '(none)', channel) AS channel_shown,
    if(owner = '', '(none)', owner) AS owner_shown,
    count() AS transitions,
    uniqExact(lead_id) AS leads
FROM {database}.transitions FINAL
WHERE to_stage IN ('nurture', 'disqualified', 'lost')
GROUP BY to_stage, reason_shown, from_stage, channel_shown, owner_shown
