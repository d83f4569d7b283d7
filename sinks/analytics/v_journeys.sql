-- Journeys: each conversion with the touches before it within the lookback, oldest first.
--   SELECT * FROM v_journeys(conversion = 'won', lookback_days = 90)
-- Each field of the touches is an array of its own, so that a question reads only what it asks for;
-- `touches` has them together.
WITH candidates AS
(
    -- More leads than convert in the end are no harm: it only narrows what is read.
    SELECT lead_id FROM {database}.transitions
    WHERE to_stage = if({conversion:String} = 'won', 'customer', {conversion:String})
),
touches_of_leads AS
(
    SELECT
        lead_id,
        arraySort(keys) AS ordered,
        -- Of tellings of one event that differ in time the earliest counts, as in the streams.
        arrayEnumerateUniq(ordered.2) AS telling,
        arraySort((field, key) -> key, groupArray(toString(type)), keys) AS types,
        arraySort((field, key) -> key, groupArray(toString(channel)), keys) AS channels,
        arraySort((field, key) -> key, groupArray(toString(source)), keys) AS sources,
        arraySort((field, key) -> key, groupArray(toString(medium)), keys) AS mediums,
        arraySort((field, key) -> key, groupArray(toString(campaign)), keys) AS campaigns,
        arraySort((field, key) -> key, groupArray(content), keys) AS contents,
        arraySort((field, key) -> key, groupArray(asset), keys) AS assets,
        groupArray((occurred_at, event_id)) AS keys
    FROM {database}.v_touches
    WHERE lead_id IN (SELECT lead_id FROM candidates)
    GROUP BY lead_id
)
SELECT
    found.conversion AS conversion,
    found.lead_id AS lead_id,
    found.id AS conversion_id,
    found.cycle AS cycle,
    found.converted_at AS converted_at,
    found.known_at AS known_at,
    found.opportunity_at AS opportunity_at,
    found.revenue AS revenue,
    found.currency AS currency,
    arrayMap(
        (key, nth) -> nth = 1 AND key.1 <= found.converted_at AND key.1 > found.converted_at - toIntervalDay({lookback_days:UInt32}),
        touches_of_leads.ordered, touches_of_leads.telling
    ) AS counts,
    arrayFilter((at, does) -> does, touches_of_leads.ordered.1, counts) AS ats,
    arrayFilter((id, does) -> does, touches_of_leads.ordered.2, counts) AS event_ids,
    arrayFilter((field, does) -> does, touches_of_leads.types, counts) AS types,
    arrayFilter((field, does) -> does, touches_of_leads.channels, counts) AS channels,
    arrayFilter((field, does) -> does, touches_of_leads.sources, counts) AS sources,
    arrayFilter((field, does) -> does, touches_of_leads.mediums, counts) AS mediums,
    arrayFilter((field, does) -> does, touches_of_leads.campaigns, counts) AS campaigns,
    arrayFilter((field, does) -> does, touches_of_leads.contents, counts) AS contents,
    arrayFilter((field, does) -> does, touches_of_leads.assets, counts) AS assets,
    arrayZip(ats, event_ids, types, channels, sources, mediums, campaigns, contents, assets)::Array(Tuple(
        at DateTime64(3, 'UTC'), event_id UUID, type String, channel String, source String, medium String,
        campaign String, content String, asset String
    )) AS touches
FROM
(
    SELECT * FROM {database}.v_conversions
    WHERE conversion = {conversion:String} AND lead_id IN (SELECT lead_id FROM candidates)
) AS found
LEFT JOIN touches_of_leads ON touches_of_leads.lead_id = found.lead_id
-- As a query of its own it is asked even where there is nothing to read.
WHERE (SELECT throwIf(
    {conversion:String} NOT IN ('mql', 'sql', 'opportunity', 'won'),
    'conversion must be mql, sql, opportunity or won'
)) = 0
