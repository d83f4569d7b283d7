-- Claims: to whom an id says that what happens under it belongs, from when until when. Ask
-- v_identities, which follows this to the lead in the end.
-- Columns:
--   id: A visitor (anon:...), an address, another system's id (ext:...), or a lead that was merged.
--   lead_id: Who claimed it, or into whom it was merged; perhaps an id that belongs to others itself.
--   since: From when on, UTC; 1900: from the first on.
--   until: Up to when, UTC, not included; 2299: for good so far.
SELECT kept.lead_id AS id, owner AS lead_id, since, until
FROM {database}.identities AS kept FINAL
ARRAY JOIN
    owners.lead_id AS owner,
    owners.since AS since,
    arrayPopFront(arrayPushBack(owners.since, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'))) AS until
