-- Journeys: each conversion with the touches before it within the lookback, oldest first.
--   SELECT * FROM v_journeys(conversion = 'won', lookback_days = 90)
-- Each field of the touches is an array of its own, so that a question reads only what it asks for;
-- `touches` has them together. Places agree: types[1] is the type of the touch at ats[1].
-- Parameters:
--   conversion: Which conversions: mql, sql, opportunity or won.
--   lookback_days: How old a touch may be at the conversion, days.
-- Columns:
--   conversion: As asked for.
--   lead_id: The lead that converted.
--   conversion_id: Id of the transition that is the conversion, transitions.id.
--   cycle: Cycle of the lead in which it converted, from 1.
--   converted_at: When the lead entered the stage, UTC.
--   known_at: When the lead became known, UTC; null where it never did.
--   opportunity_at: When it became an opportunity in the same cycle, UTC; null where it did not.
--   revenue: What the lead was won for in the same cycle, in currency; 0 without a win.
--   currency: ISO 4217, of the win; empty where there is none.
--   ats: When the touches happened, UTC, oldest first.
--   event_ids: Their ids, as touchpoints.event_id.
--   types: Their types, e.g. form_submitted.
--   channels: Their channels; an empty field stays empty, here and below.
--   sources: Their sources.
--   mediums: Their media.
--   campaigns: Their campaigns.
--   contents: Which ad, link or version of a text each was.
--   assets: The content piece, landing page, webinar or event of each.
--   touches: Tuples (at, event_id, type, channel, source, medium, campaign, content, asset).
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
        -- Of tellings of one event that differ in time the earliest counts, as in v_touches, which
        -- groups by event and takes longer.
        arrayEnumerateUniq(ordered.2) AS telling,
        arraySort((field, key) -> key, groupArray(toString(type)), keys) AS types,
        arraySort((field, key) -> key, groupArray(toString(channel)), keys) AS channels,
        arraySort((field, key) -> key, groupArray(toString(source)), keys) AS sources,
        arraySort((field, key) -> key, groupArray(toString(medium)), keys) AS mediums,
        arraySort((field, key) -> key, groupArray(toString(campaign)), keys) AS campaigns,
        arraySort((field, key) -> key, groupArray(content), keys) AS contents,
        arraySort((field, key) -> key, groupArray(asset), keys) AS assets,
        groupArray((occurred_at, event_id)) AS keys
    FROM {database}.v_tellings
    WHERE lead_id IN (SELECT lead_id FROM candidates)
    GROUP BY lead_id
),
conversions AS
(
    SELECT
        found.*,
        of_lead.*,
        arrayMap(
            (key, nth) -> nth = 1 AND key.1 <= found.converted_at AND key.1 > found.converted_at - toIntervalDay({lookback_days:UInt32}),
            of_lead.ordered, of_lead.telling
        ) AS counted
    FROM
    (
        SELECT * FROM {database}.v_conversions
        WHERE conversion = {conversion:String} AND lead_id IN (SELECT lead_id FROM candidates)
    ) AS found
    LEFT JOIN touches_of_leads AS of_lead ON of_lead.lead_id = found.lead_id
)
SELECT
    conversion,
    lead_id,
    id AS conversion_id,
    cycle,
    converted_at,
    known_at,
    opportunity_at,
    revenue,
    currency,
    arrayFilter((at, counts) -> counts, ordered.1, counted) AS ats,
    arrayFilter((id, counts) -> counts, ordered.2, counted) AS event_ids,
    arrayFilter((field, counts) -> counts, c.types, counted) AS types,
    arrayFilter((field, counts) -> counts, c.channels, counted) AS channels,
    arrayFilter((field, counts) -> counts, c.sources, counted) AS sources,
    arrayFilter((field, counts) -> counts, c.mediums, counted) AS mediums,
    arrayFilter((field, counts) -> counts, c.campaigns, counted) AS campaigns,
    arrayFilter((field, counts) -> counts, c.contents, counted) AS contents,
    arrayFilter((field, counts) -> counts, c.assets, counted) AS assets,
    arrayZip(ats, event_ids, types, channels, sources, mediums, campaigns, contents, assets)::Array(Tuple(
        at DateTime64(3, 'UTC'), event_id UUID, type String, channel String, source String, medium String,
        campaign String, content String, asset String
    )) AS touches
FROM conversions AS c
-- As a query of its own it is asked even where there is nothing to read.
WHERE (SELECT throwIf(
    {conversion:String} NOT IN ('mql', 'sql', 'opportunity', 'won'),
    'conversion must be mql, sql, opportunity or won'
)) = 0
