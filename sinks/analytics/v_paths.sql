-- Paths: each conversion with what the touches before it were, oldest first, by one of their fields.
--   SELECT path, count() FROM v_paths(conversion = 'won', by = 'channel', lookback_days = 90) GROUP BY path
-- Fields: channel, source, medium, campaign, content, asset. A conversion without touches has an empty path.
-- Parameters:
--   conversion: Which conversions: mql, sql, opportunity or won.
--   by: Which field of the touches: channel, source, medium, campaign, content or asset.
--   lookback_days: How old a touch may be at the conversion, days.
-- Columns:
--   conversion: As asked for.
--   lead_id: The lead that converted.
--   conversion_id: Id of the transition that is the conversion, transitions.id.
--   converted_at: When the lead entered the stage, UTC.
--   revenue: What the lead was won for in the same cycle, in currency; 0 without a win.
--   currency: ISO 4217, of the win; empty where there is none.
--   path: The values of the field, oldest touch first; (none) where it is empty.
--   days_to_convert: From the first touch of the path to the conversion, days; null without
--     touches.
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
