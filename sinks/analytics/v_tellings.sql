-- Tellings: the rows of v_touchpoints that tell of what attribution counts. A replay, or a source with
-- other clocks, tells an event more than once: ask v_touches, which has each once.
-- Columns:
--   lead_id: The lead to whom it belongs, or the visitor's own id while nobody is known.
--   occurred_at: When it happened, corrected for a skewed device clock, UTC.
--   event_id: Id of the touchpoint; may come more than once, so count distinct ones.
--   type: Type of the touchpoint, e.g. form_submitted.
--   channel: Empty where the source named none.
--   source: Empty where the source named none.
--   medium: Empty where the source named none.
--   campaign: Empty where the source named none.
--   content: Which ad, link or version of a text; empty where the source named none.
--   asset: The content piece, landing page, webinar or event; empty where the source named none.
SELECT lead_id, occurred_at, event_id, type, channel, source, medium, campaign, content, asset
FROM {database}.v_touchpoints
WHERE type NOT IN ('email_delivered', 'email_bounced', 'email_unsubscribed', 'consent_changed', 'meeting_no_show', 'identify', 'alias')
