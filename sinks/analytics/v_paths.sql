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
        touch -> if(
            multiIf(
                {by:String} = 'channel', touch.channel,
                {by:String} = 'source', touch.source,
                {by:String} = 'medium', touch.medium,
                {by:String} = 'campaign', touch.campaign,
                {by:String} = 'content', touch.content,
                touch.asset
            ) AS found = '', '(none)', found
        ),
        touches
    ) AS path,
    if(empty(touches), NULL, date_diff('millisecond', touches[1].at, converted_at) / 86400000) AS days_to_convert
FROM {database}.v_journeys(conversion = {conversion:String}, lookback_days = {lookback_days:UInt32})
WHERE (SELECT throwIf(
    {by:String} NOT IN ('channel', 'source', 'medium', 'campaign', 'content', 'asset'),
    'v_paths: by must be channel, source, medium, campaign, content or asset'
)) = 0
