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
WITH twice AS
(
    SELECT
        link.id AS id,
        if(further.id != '', further.lead_id, link.lead_id) AS lead_id,
        if(further.id != '', greatest(link.since, further.since), link.since) AS since,
        if(further.id != '', least(link.until, further.until), link.until) AS until
    FROM {database}.v_claims AS link
    LEFT JOIN {database}.v_claims AS further ON further.id = link.lead_id
    WHERE ifNull(further.id, '') = '' OR (further.since < link.until AND link.since < further.until)
)
-- Four steps are the most: a visitor, its address, another system's id, the CRM's lead, the survivor.
SELECT
    link.id AS id,
    if(further.id != '', further.lead_id, link.lead_id) AS lead_id,
    if(further.id != '', greatest(link.since, further.since), link.since) AS since,
    if(further.id != '', least(link.until, further.until), link.until) AS until
FROM twice AS link
LEFT JOIN twice AS further ON further.id = link.lead_id
WHERE ifNull(further.id, '') = '' OR (further.since < link.until AND link.since < further.until)
