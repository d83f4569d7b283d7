-- Identities: to which lead belongs what happened under an id, from when until when. Each id that
-- others claimed or that was merged has rows, one after the other; an id that is its own has none.
--   SELECT lead_id FROM v_identities WHERE id = 'anon:c0ffee' AND since <= now() AND now() < until
-- Claims are followed to the lead in the end: from a visitor to its address, from there to the lead of
-- the CRM, from there to the one into which it was merged.
-- Columns:
--   id: A visitor (anon:...), an address, another system's id (ext:...), or a lead that was merged.
--   lead_id: The lead to whom it belongs.
--   since: From when on, UTC; 1900: from the first on.
--   until: Up to when, UTC, not included; 2299: for good so far.
WITH RECURSIVE reached AS
(
    SELECT id, lead_id, since, until, 1 AS steps
    FROM {database}.v_claims
    UNION ALL
    SELECT
        link.id AS id,
        further.lead_id AS lead_id,
        greatest(link.since, further.since) AS since,
        least(link.until, further.until) AS until,
        link.steps + 1 AS steps
    FROM reached AS link
    INNER JOIN {database}.v_claims AS further ON further.id = link.lead_id
    -- Claims are in no circle but for the moment in which merges are on their way.
    WHERE further.since < link.until AND link.since < further.until AND link.steps < 64
)
SELECT id, lead_id, since, until
FROM reached
WHERE lead_id NOT IN (SELECT id FROM {database}.v_claims)
