-- Touches: what leads did that attribution counts. What was sent to a lead, or only tells who it is,
-- is no touch. A replay of touchpoints with other clocks may tell an event twice: journeys take one.
SELECT lead_id, occurred_at, event_id, type, channel, source, medium, campaign, content, asset
FROM {database}.touchpoints
WHERE type NOT IN ('email_delivered', 'email_bounced', 'email_unsubscribed', 'meeting_no_show', 'identify', 'alias')
