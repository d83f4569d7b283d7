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
    arrayMax(told -> told.1, tellings) AS last_touched_at,
    arrayMap(
        told -> told.2,
        arraySort(arrayFilter(told -> told.1 > last_touched_at - toIntervalDay({lookback_days:UInt32}), tellings))
    ) AS path
FROM
(
    SELECT
        lead_id,
        arraySort(told -> (told.3, told.1, told.2), groupUniqArray((
            occurred_at,
            if(
                toString(multiIf(
                    {by:String} = 'channel', channel,
                    {by:String} = 'source', source,
                    {by:String} = 'medium', medium,
                    {by:String} = 'campaign', campaign,
                    {by:String} = 'content', content,
                    asset
                )) AS found = '', '(none)', found
            ),
            event_id
        ))) AS told_by_event,
        -- Cheaper than grouping by event, as v_touches does: of each event the earliest telling.
        arrayFilter(
            (told, before, place) -> place = 1 OR told.3 != before,
            told_by_event, arrayPushFront(arrayPopBack(told_by_event.3), toUUID('00000000-0000-0000-0000-000000000000')), arrayEnumerate(told_by_event)
        ) AS tellings
    FROM {database}.v_tellings
    WHERE lead_id NOT IN (SELECT lead_id FROM {database}.v_conversions WHERE conversion = {conversion:String})
        AND (SELECT throwIf(
            {by:String} NOT IN ('channel', 'source', 'medium', 'campaign', 'content', 'asset'),
            'v_open_paths: by must be channel, source, medium, campaign, content or asset'
        )) = 0
    GROUP BY lead_id
)
