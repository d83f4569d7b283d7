-- Open paths: the touches of each lead that has not converted, up to its latest one, oldest first.
--   SELECT * FROM v_open_paths(conversion = 'won', by = 'channel', lookback_days = 90)
SELECT
    lead_id,
    arrayMax(keys.1) AS last_touched_at,
    arraySort(keys) AS ordered,
    arrayFilter(
        (field, key, nth) -> nth = 1 AND key.1 > last_touched_at - toIntervalDay({lookback_days:UInt32}),
        arraySort((field, key) -> key, fields, keys), ordered, arrayEnumerateUniq(ordered.2)
    ) AS path
FROM
(
    SELECT
        lead_id,
        groupArray((occurred_at, event_id)) AS keys,
        groupArray(
            if(
                toString(multiIf(
                    {by:String} = 'channel', channel,
                    {by:String} = 'source', source,
                    {by:String} = 'medium', medium,
                    {by:String} = 'campaign', campaign,
                    {by:String} = 'content', content,
                    asset
                )) AS found = '', '(none)', found
            )
        ) AS fields
    FROM {database}.v_touches
    WHERE lead_id NOT IN (
            SELECT lead_id FROM {database}.transitions FINAL
            WHERE to_stage = if({conversion:String} = 'won', 'customer', {conversion:String})
        )
        AND (SELECT throwIf(
            {by:String} NOT IN ('channel', 'source', 'medium', 'campaign', 'content', 'asset'),
            'v_open_paths: by must be channel, source, medium, campaign, content or asset'
        )) = 0
    GROUP BY lead_id
)
