-- Attribution: what each touch has of each conversion. Credits of a conversion sum to 1, and revenue
-- credits to its revenue, exactly; what rounding leaves goes to the last touch.
--   SELECT channel, sum(credit), sum(revenue)
--   FROM v_attribution(model = 'linear', conversion = 'won', lookback_days = 90, half_life_days = 7)
--   GROUP BY channel
-- Models: first, last, last_non_direct, linear, time_decay, u_shaped, w_shaped, full_path; or all,
-- which gives the rows of each. A conversion without touches has one row, whose fields are (none).
-- Parameters:
--   model: first, last, last_non_direct, linear, time_decay, u_shaped, w_shaped, full_path; or all.
--   conversion: Which conversions are credited: mql, sql, opportunity or won.
--   lookback_days: How old a touch may be at the conversion, days.
--   half_life_days: time_decay: age after which a touch weighs half, days; of no effect on others.
-- Columns:
--   model: The rule that gave this credit.
--   conversion: As asked for.
--   lead_id: The lead that converted.
--   conversion_id: Id of the transition that is the conversion, transitions.id.
--   cycle: Cycle of the lead in which it converted, from 1.
--   converted_at: When the lead entered the stage, UTC.
--   position: Place of the touch among those of the conversion, from 1.
--   touch_count: How many touches the conversion has; 0: nobody is credited, and the fields are
--     (none).
--   touched_at: When the touch was, UTC; null without touches.
--   event_id: Id of the touch, touchpoints.event_id; null without touches.
--   type: Type of the touchpoint, e.g. form_submitted.
--   channel: Channel of the touch; (none) where it named none.
--   source: Source of the touch; (none) where it named none.
--   medium: Medium of the touch; (none) where it named none.
--   campaign: Campaign of the touch; (none) where it named none.
--   content: Content of the touch; (none) where it named none.
--   asset: Asset of the touch; (none) where it named none.
--   credit: Share of the conversion, 0 to 1; a conversion's sum to 1 exactly.
--   revenue: Share of what the lead was won for, in currency; sums to it exactly.
--   currency: ISO 4217, of the win; empty where there is none. Do not sum over currencies.
WITH
    ['first', 'last', 'last_non_direct', 'linear', 'time_decay', 'u_shaped', 'w_shaped', 'full_path'] AS known_models,
    -- Credits are whole billionths until the end, so that sums are exact.
    1000000000 AS whole
SELECT
    model,
    conversion,
    lead_id,
    conversion_id,
    cycle,
    converted_at,
    position,
    touch_count,
    -- Of an array that has no such place, the empty value; ARRAY JOIN of it would have it read always.
    if(touch_count = 0, NULL, ats[position]) AS touched_at,
    if(touch_count = 0, NULL, event_ids[position]) AS event_id,
    if(types[position] = '', '(none)', types[position]) AS type,
    if(channels[position] = '', '(none)', channels[position]) AS channel,
    if(sources[position] = '', '(none)', sources[position]) AS source,
    if(mediums[position] = '', '(none)', mediums[position]) AS medium,
    if(campaigns[position] = '', '(none)', campaigns[position]) AS campaign,
    if(contents[position] = '', '(none)', contents[position]) AS content,
    if(assets[position] = '', '(none)', assets[position]) AS asset,
    toDecimal128(units, 9) / whole AS credit,
    revenue_of_conversion * credit AS revenue,
    currency
FROM
(
    SELECT
        model,
        conversion,
        lead_id,
        conversion_id,
        cycle,
        converted_at,
        revenue AS revenue_of_conversion,
        currency,
        length(ats) AS touch_count,
        ats,
        event_ids,
        types,
        channels,
        sources,
        mediums,
        campaigns,
        contents,
        assets,
        -- Where the anchors are; 0 is nowhere. Models that have none do not look for them.
        if(
            {model:String} IN ('last_non_direct', 'all'), arrayLastIndex(channel -> channel NOT IN ('', 'direct'), channels), 0
        ) AS non_direct,
        if(
            {model:String} NOT IN ('w_shaped', 'full_path', 'all') OR ifNull(known_at > converted_at, true), 0,
            arrayLastIndex(at -> at <= known_at, ats)
        ) AS creation,
        if(
            {model:String} NOT IN ('w_shaped', 'full_path', 'all') OR ifNull(opportunity_at > converted_at, true), 0,
            arrayLastIndex(at -> at <= opportunity_at, ats)
        ) AS opening,
        if(model = 'full_path' AND conversion = 'won', touch_count, 0) AS closing,
        if(model = 'w_shaped', 0.3, 0.225) AS anchor_weight,
        if(
            {model:String} IN ('w_shaped', 'full_path', 'all'),
            length(arrayDistinct(arrayFilter(place -> place > 0, [1, creation, opening, closing]))), 0
        ) AS anchored,
        -- Arrays inside of a lambda would be copied for every touch.
        ats[-1] AS last_at,
        arrayMap(
            (at, place) -> multiIf(
                model = 'first', place = 1,
                model = 'last', place = touch_count,
                model = 'last_non_direct', place = if(non_direct = 0, touch_count, non_direct),
                model = 'linear', 1,
                -- Relative to the last touch, so that no weight is too small for all.
                model = 'time_decay', exp2(-date_diff('millisecond', at, last_at) / 86400000 / {half_life_days:Float64}),
                model = 'u_shaped', multiIf(touch_count <= 2, 1, place IN (1, touch_count), 0.4, 0.2 / (touch_count - 2)),
                ((place = 1) + (place = creation) + (place = opening) + (place = closing)) AS anchors > 0, anchors * anchor_weight,
                0.1 / (touch_count - anchored)
            )::Float64,
            ats, arrayEnumerate(ats)
        ) AS weights,
        arraySum(weights) AS weight_sum,
        arrayMap(weight -> toInt64(floor(weight / weight_sum * whole + 0.001)), weights) AS floored,
        if(touch_count = 0, [whole], arrayPushBack(arrayPopBack(floored), whole - arraySum(arrayPopBack(floored)))) AS credits
    FROM {database}.v_journeys(conversion = {conversion:String}, lookback_days = {lookback_days:UInt32})
    ARRAY JOIN if({model:String} = 'all', known_models, [{model:String}]) AS model
    WHERE (SELECT throwIf(
        NOT has(arrayPushBack(known_models, 'all'), {model:String}),
        'v_attribution: model must be first, last, last_non_direct, linear, time_decay, u_shaped, w_shaped, full_path or all'
    )) = 0
)
ARRAY JOIN credits AS units, arrayEnumerate(credits) AS position
