-- Paths: each conversion with what the touches before it were, oldest first, by one of their fields.
--   SELECT path, count() FROM v_paths(conversion = 'won', by = 'channel', lookback_days = 90) GROUP BY path
-- Fields: channel, source, medium, campaign, content, asset. A conversion without touches has an empty path.
SELECT
    conversion,
    lead_id,
    conversion_id,
    converted_at,
    revenue,
    currency,
    arrayMap(
        field -> if(field = '', '(none)', field),
        -- Not multiIf: of constant conditions only if() spares the other fields from being read.
        if({by:String} = 'channel', channels,
        if({by:String} = 'source', sources,
        if({by:String} = 'medium', mediums,
        if({by:String} = 'campaign', campaigns,
        if({by:String} = 'content', contents, assets)))))
    ) AS path,
    if(empty(ats), NULL, date_diff('millisecond', ats[1], converted_at) / 86400000) AS days_to_convert
FROM {database}.v_journeys(conversion = {conversion:String}, lookback_days = {lookback_days:UInt32})
WHERE (SELECT throwIf(
    {by:String} NOT IN ('channel', 'source', 'medium', 'campaign', 'content', 'asset'),
    'v_paths: by must be channel, source, medium, campaign, content or asset'
)) = 0
