-- Consent: one row per lead and purpose that the person spoke of, with what that stops, and one with
-- purpose (none) for a lead whose silence alone stops something.
--   SELECT purpose, state, count() FROM v_consent GROUP BY ALL
-- Only versions of the model with a section on consent tell it.
-- Columns:
--   lead_id: The lead, or anon:<anonymous_id> while nobody is known.
--   purpose: profiling, sales_contact, marketing_email, all, or one of the model's own; (none): the
--     person said nothing.
--   state: Latest word on it: granted, denied or unknown.
--   since: When that word was said, UTC; null: nothing was said.
--   stops_scoring: Whether the lead is not scored for want of consent.
--   stops_routing: Whether no handoff of the lead is routed for want of consent.
--   stage: Present stage of the lead.
--   country: Its attribute country; empty where nobody told it.
--   model_version: Version of the model that judged it last.
SELECT
    lead_id,
    pair.1 AS purpose,
    pair.2 AS state,
    if(purpose = '(none)', NULL, toNullable(consents_since[purpose])) AS since,
    has(consent_stops, 'scoring') AS stops_scoring,
    has(consent_stops, 'routing') AS stops_routing,
    toString(s.stage) AS stage,
    attributes['country'] AS country,
    toString(s.model_version) AS model_version
FROM
(
    SELECT
        *,
        arrayMap((word, meant) -> (toString(word), toString(meant)), mapKeys(consents), mapValues(consents)) AS words
    FROM {database}.lead_state FINAL
    WHERE notEmpty(consents) OR notEmpty(consent_stops)
) AS s
ARRAY JOIN if(empty(words), [('(none)', 'unknown')], words) AS pair
WHERE merged_into = ''
