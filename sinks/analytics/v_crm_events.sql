-- CRM events by person: all of crm_events, each under the lead to whom it belongs today, whatever id
-- it came under and whenever that was joined. A replay tells an event more than once: count distinct
-- event_id.
-- Columns:
--   lead_id: The lead to whom it belongs.
--   told_as: The id under which it was told, crm_events.lead_id.
--   occurred_at: When it happened, UTC.
--   event_id: The id of the source, or its UUIDv5 where that is no UUID.
--   source_event_id: The id as the source gave it.
--   type: lead_accepted, opportunity_won, ...; a type that no model knows is kept.
--   actor: Who did it, as the CRM names them; empty where it named nobody.
--   owner: Who owns the lead from then on; empty: it did not say.
--   reason: Why it was rejected, recycled, disqualified or lost, in the wording of the CRM; empty: not
--     said.
--   stage: The stage of the CRM, not of ours; empty where it named none.
--   opportunity_id: The CRM's id of the opportunity; empty where none was named.
--   amount: What the opportunity is worth, in currency; null where it did not say.
--   currency: ISO 4217, of amount; empty where it did not say.
--   attributes: Facts about the person or company, by name; all values are texts.
--   crm_lead_id: The lead as the CRM named it.
--   merged_lead_id: lead_merged: the lead that was absorbed; else empty.
--   event_time: When it happened, by the clock of the CRM, UTC.
--   ingest_time: Timestamp of the input record on the broker, UTC.
SELECT
    lead_id,
    lead_id AS told_as,
    occurred_at,
    event_id,
    source_event_id,
    type,
    actor,
    owner,
    reason,
    stage,
    opportunity_id,
    amount,
    currency,
    attributes,
    crm_lead_id,
    merged_lead_id,
    event_time,
    ingest_time
FROM {database}.crm_events
WHERE lead_id NOT IN (SELECT id FROM {database}.v_claims)
UNION ALL
SELECT
    owners.lead_id,
    told.lead_id AS told_as,
    told.occurred_at,
    told.event_id,
    told.source_event_id,
    told.type,
    told.actor,
    told.owner,
    told.reason,
    told.stage,
    told.opportunity_id,
    told.amount,
    told.currency,
    told.attributes,
    told.crm_lead_id,
    told.merged_lead_id,
    told.event_time,
    told.ingest_time
FROM (SELECT * FROM {database}.crm_events WHERE lead_id IN (SELECT id FROM {database}.v_claims)) AS told
ASOF INNER JOIN {database}.v_identities AS owners ON owners.id = told.lead_id AND told.occurred_at >= owners.since
-- Of tellings of one event that differ in time the earliest says whose it is, as in the streams.
WHERE (told.lead_id, told.event_id, told.occurred_at) NOT IN (
    SELECT lead_id, event_id, occurred_at
    FROM
    (
        SELECT lead_id, event_id, occurred_at, row_number() OVER (PARTITION BY lead_id, event_id ORDER BY occurred_at) AS telling
        FROM (SELECT DISTINCT lead_id, event_id, occurred_at FROM {database}.crm_events WHERE lead_id IN (
            SELECT id FROM {database}.v_identities GROUP BY id HAVING count() > 1
        ))
    )
    WHERE telling > 1
)
