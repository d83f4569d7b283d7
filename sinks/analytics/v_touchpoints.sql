-- Touchpoints by person: all of touchpoints, each under the lead to whom it belongs today, whatever id
-- it came under and whenever that was joined. A replay, or a source with other clocks, tells an event
-- more than once: count distinct event_id.
-- Columns:
--   lead_id: The lead to whom it belongs, or the visitor's own id while nobody is known.
--   told_as: The id under which it was told, touchpoints.lead_id.
--   occurred_at: When it happened, corrected for a skewed device clock, UTC.
--   event_id: The id of the source, or its UUIDv5 where that is no UUID.
--   source_event_id: The id as the source gave it.
--   type: page_viewed, form_submitted, ...; a type that no model knows is kept.
--   channel: Empty where the source named none.
--   source: Where the visit came from, e.g. google; empty where the source named none.
--   medium: How it came, e.g. cpc; empty where the source named none.
--   campaign: Empty where the source named none.
--   content: Which ad, link or version of a text; empty where the source named none.
--   term: Search term; empty where the source named none.
--   url: Page on which it happened; empty where the source named none. May hold personal data.
--   referrer: Page that led there; empty where the source named none.
--   asset: The content piece, landing page, webinar or event; empty where there is none.
--   category: Kind of page or asset, e.g. pricing; empty where the source named none.
--   anonymous_id: The visitor's id at the source; empty where the source named none.
--   email: Address that the touchpoint told; empty where it told none. Personal data.
--   properties: What else the source told, by name; all values are texts.
--   event_time: When it happened, by the clock of the device, UTC.
--   sent_at: When the device sent it, by the same clock; null where it did not say.
--   received_at: When our side received it; null where it did not say.
--   ingest_time: Timestamp of the input record on the broker, UTC.
SELECT
    lead_id,
    lead_id AS told_as,
    occurred_at,
    event_id,
    source_event_id,
    type,
    channel,
    source,
    medium,
    campaign,
    content,
    term,
    url,
    referrer,
    asset,
    category,
    anonymous_id,
    email,
    properties,
    event_time,
    sent_at,
    received_at,
    ingest_time
FROM {database}.touchpoints
WHERE lead_id NOT IN (SELECT id FROM {database}.v_claims)
UNION ALL
SELECT
    owners.lead_id,
    told.lead_id AS told_as,
    told.occurred_at,
    told.event_id,
    told.source_event_id,
    told.type,
    told.channel,
    told.source,
    told.medium,
    told.campaign,
    told.content,
    told.term,
    told.url,
    told.referrer,
    told.asset,
    told.category,
    told.anonymous_id,
    told.email,
    told.properties,
    told.event_time,
    told.sent_at,
    told.received_at,
    told.ingest_time
FROM (SELECT * FROM {database}.touchpoints WHERE lead_id IN (SELECT id FROM {database}.v_claims)) AS told
ASOF INNER JOIN {database}.v_identities AS owners ON owners.id = told.lead_id AND told.occurred_at >= owners.since
-- Of tellings of one event that differ in time the earliest says whose it is, as in the streams.
WHERE (told.lead_id, told.event_id, told.occurred_at) NOT IN (
    SELECT lead_id, event_id, occurred_at
    FROM
    (
        SELECT lead_id, event_id, occurred_at, row_number() OVER (PARTITION BY lead_id, event_id ORDER BY occurred_at) AS telling
        FROM (SELECT DISTINCT lead_id, event_id, occurred_at FROM {database}.touchpoints WHERE lead_id IN (
            SELECT id FROM {database}.v_identities GROUP BY id HAVING count() > 1
        ))
    )
    WHERE telling > 1
)
