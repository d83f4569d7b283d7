-- Open paths: the touches of each lead that has not converted, up to its latest one, oldest first.
--   SELECT * FROM v_open_paths(conversion = 'won', by = 'channel', lookback_days = 90)
-- Parameters:
--   conversion: Leads that have not converted in this way: mql, sql, opportunity or won.
--   by: Which field of the touches: channel, source, medium, campaign, content or asset.
--   lookback_days: How old a touch may be at the lead's latest touch, days.
-- Columns:
--   lead_id: The lead that has not converted.
--   last_touched_at: Its latest touch, UTC.
--   path: The values of the field, oldest touch first; (none) where it is empty.
SELECT
    lead_id,
    arrayLast((at, nth) -> nth = 1, ordered.1, telling) AS last_touched_at,
    arrayFilter(
        (field, at, nth) -> nth = 1 AND at > last_touched_at - toIntervalDay({lookback_days:UInt32}),
        arraySort((field, key) -> key, fields, keys), ordered.1, telling
    ) AS path
FROM
(
    SELECT
        lead_id,
        groupArray((occurred_at, event_id)) AS keys,
        arraySort(keys) AS ordered,
        -- Of tellings of one event that differ in time the earliest counts, as in v_touches, which
        -- groups by event and takes longer.
        arrayEnumerateUniq(ordered.2) AS telling,
        groupArray(
            if(
                -- Not multiIf: of constant conditions only if() spares the other fields from being read.
                toString(
                    if({by:String} = 'channel', channel,
                    if({by:String} = 'source', source,
                    if({by:String} = 'medium', medium,
                    if({by:String} = 'campaign', campaign,
                    if({by:String} = 'content', content, asset)))))
                ) AS found = '', '(none)', found
            )
        ) AS fields
    FROM {database}.v_tellings
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
