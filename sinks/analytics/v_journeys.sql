-- Journeys: each conversion with the touches before it within the lookback, oldest first.
--   SELECT * FROM v_journeys(conversion = 'won', lookback_days = 90)
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
--   touches: Tuples (at, event_id, type, channel, source, medium, campaign, content, asset),
--     oldest first; empty fields stay empty.
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
        arraySort(touch -> (touch.at, touch.event_id), groupArray((
            occurred_at, event_id, type, channel, source, medium, campaign, content, asset
        )::Tuple(
            at DateTime64(3, 'UTC'), event_id UUID, type String, channel String, source String, medium String,
            campaign String, content String, asset String
        ))) AS touches
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
    arrayFilter(
        touch -> touch.at <= found.converted_at AND touch.at > found.converted_at - toIntervalDay({lookback_days:UInt32}),
        touches_of_leads.touches
    ) AS touches
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
