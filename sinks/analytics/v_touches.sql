-- Touches: what leads did that attribution counts, each once. What was sent to a lead, or only tells
-- who it is, is no touch. Of tellings of one event that differ in time the earliest counts, as in the
-- streams.
-- Columns:
--   lead_id: The lead it belongs to, or anon:<anonymous_id> while nobody is known.
--   occurred_at: When it happened, corrected for a skewed device clock, UTC.
--   event_id: Id of the touchpoint, as touchpoints.event_id.
--   type: Type of the touchpoint, e.g. form_submitted.
--   channel: Empty where the source named none.
--   source: Empty where the source named none.
--   medium: Empty where the source named none.
--   campaign: Empty where the source named none.
--   content: Which ad, link or version of a text; empty where the source named none.
--   asset: The content piece, landing page, webinar or event; empty where the source named none.
SELECT
    lead_id,
    told.at AS occurred_at,
    event_id,
    told.type AS type,
    told.channel AS channel,
    told.source AS source,
    told.medium AS medium,
    told.campaign AS campaign,
    told.content AS content,
    told.asset AS asset
FROM
(
    SELECT
        lead_id,
        event_id,
        argMin((
            occurred_at, toString(type), toString(channel), toString(source), toString(medium),
            toString(campaign), content, asset
        )::Tuple(
            at DateTime64(3, 'UTC'), type String, channel String, source String, medium String,
            campaign String, content String, asset String
        ), occurred_at) AS told
    FROM {database}.v_tellings
    GROUP BY lead_id, event_id
)
