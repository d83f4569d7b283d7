-- Hand-overs: one row per MQL decision of the model, with the rules that had points there, whose lead
-- it was, and what came of it in the same cycle, up to the next decision.
--   SELECT criterion, avg(became_sal), count(became_sal) FROM v_handovers GROUP BY criterion
-- became_sal, became_sql and was_won are 1, 0 once it ended without, and NULL while nobody knows; also
-- where a procedural reason ended it, which says nothing of the lead. outcome is accepted, turned_down,
-- procedural or open. activities are counted up to the SQL or the end. The owner is who had the lead
-- at the first response, else the latest one; response is of the clock for the first response.
-- Columns:
--   lead_id: The lead that was handed over.
--   cycle: Cycle of the lead, from 1; grows with each qualification after a recycle.
--   id: Id of the MQL decision, transitions.id.
--   handed_over_at: When the model decided, UTC.
--   cause: hand_raise or criteria.
--   criterion: The criterion of the model that decided.
--   model_version: Version of the model that decided.
--   score: Total at the decision, points.
--   grade: Fit grade at the decision, A to F.
--   rules: Rules that had points at the decision, negative ones too.
--   groups: Group of each of the rules, in their order.
--   points: What each of the rules gave, in their order.
--   channel: Of the lead's first touchpoint; (none) where it named none.
--   source: Of the lead's first touchpoint; (none) where it named none.
--   medium: Of the lead's first touchpoint; (none) where it named none.
--   campaign: Of the lead's first touchpoint; (none) where it named none.
--   outcome: accepted, turned_down, procedural (sent back for such a reason) or open.
--   accepted_at: When it became a SAL, or a later stage where that was skipped, UTC; null: not yet.
--   sql_at: When it became an SQL, or a later stage where that was skipped, UTC; null: not yet.
--   won_at: When the lead became a customer, UTC; null: it has not.
--   ended_at: When sales turned it down, sent it back or lost it for good, UTC; null: it has not
--     ended.
--   reason: Why it ended, a reason of the taxonomy, (unmapped) or (none); empty: it has not ended.
--   reason_kind: timing, fit, permanent, procedural, (other) or (none); empty: it has not ended.
--   became_sal: 1: accepted, 0: turned down instead, null: open, or of a procedural reason.
--   became_sql: 1: it did, 0: it ended without, null: nobody knows yet, or of a procedural reason.
--   was_won: 1: it was, 0: it ended without, null: nobody knows yet, or of a procedural reason.
--   owner: Who had the lead at the first response, else who had it last; (none): nobody.
--   responded_at: First activity or decision of sales in the CRM after it, UTC; null: none so far.
--   activities: Sales activities logged from the hand-over to the SQL or the end.
--   response: Of the clock for the first response: met, met_late, breached, cancelled, open; empty:
--     no clock.
--   answered_after_s: Time to the first response, business seconds; null: not answered.
WITH
    [
        'sales_activity_logged', 'lead_accepted', 'lead_rejected', 'lead_qualified', 'lead_recycled',
        'lead_disqualified', 'lead_converted', 'opportunity_created', 'opportunity_stage_changed',
        'opportunity_won', 'opportunity_lost'
    ] AS responses,
    toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC') AS never,
    candidates AS
    (
        -- Most leads are never handed over. More than are in the end is no harm.
        SELECT lead_id FROM {database}.transitions WHERE to_stage = 'mql' AND NOT inferred
    )
SELECT
    lead_id,
    cycle,
    id,
    handed_over_at,
    cause,
    criterion,
    model_version,
    score,
    grade,
    rules,
    groups,
    points,
    channel,
    source,
    medium,
    campaign,
    multiIf(isNotNull(accepted_at), 'accepted', isNull(ended_at), 'open', is_procedural, 'procedural', 'turned_down') AS outcome,
    accepted_at,
    sql_at,
    won_at,
    ended_at,
    reason,
    reason_kind,
    multiIf(isNotNull(accepted_at), 1, untold, NULL, 0) AS became_sal,
    multiIf(isNotNull(sql_at), 1, untold, NULL, 0) AS became_sql,
    multiIf(isNotNull(won_at), 1, untold, NULL, 0) AS was_won,
    if(rep = '', '(none)', rep) AS owner,
    if(answer.type = '', NULL, answer.at) AS responded_at,
    arrayCount(event -> event.type = 'sales_activity_logged' AND event.at <= ifNull(sql_at, never), events_since) AS activities,
    response,
    answered_after_s
FROM
(
    SELECT
        handed.lead_id AS lead_id,
        handed.cycle AS cycle,
        handed.id AS id,
        handed.handed_over_at AS handed_over_at,
        handed.cause AS cause,
        handed.criterion AS criterion,
        handed.model_version AS model_version,
        handed.score AS score,
        handed.grade AS grade,
        handed.rules AS rules,
        handed.groups AS groups,
        handed.points AS points,
        handed.channel AS channel,
        handed.campaign AS campaign,
        course.accepted_at AS accepted_at,
        course.sql_at AS sql_at,
        course.won_at AS won_at,
        course.ended_at AS ended_at,
        if(state.source = '', '(none)', toString(state.source)) AS source,
        if(state.medium = '', '(none)', toString(state.medium)) AS medium,
        down.reason AS reason,
        down.kind AS reason_kind,
        down.kind = 'procedural' AS is_procedural,
        is_procedural OR isNull(course.ended_at) AS untold,
        clock.outcome AS response,
        clock.answered_after_s AS answered_after_s,
        ifNull(course.ended_at, never) AS ends_at,
        arrayFilter(event -> event.at BETWEEN handed.handed_over_at AND ends_at, sales.events) AS events_since,
        arrayFirst(event -> has(responses, event.type), events_since) AS answer,
        arrayLast(
            event -> event.owner != '' AND event.at <= if(answer.type = '', ends_at, answer.at), sales.events
        ).owner AS rep
    FROM
    (
        SELECT
            lead_id,
            cycle,
            id,
            occurred_at AS handed_over_at,
            toString(t.cause) AS cause,
            toString(t.criterion) AS criterion,
            toString(t.model_version) AS model_version,
            score,
            toString(t.grade) AS grade,
            if(t.channel = '', '(none)', toString(t.channel)) AS channel,
            if(t.campaign = '', '(none)', toString(t.campaign)) AS campaign,
            toString(t.sla_policy) AS policy,
            arrayFilter((rule, given) -> given != 0, contributions.rule, contributions.points)::Array(String) AS rules,
            arrayFilter((part, given) -> given != 0, contributions.group, contributions.points)::Array(String) AS groups,
            arrayFilter(given -> given != 0, contributions.points) AS points
        FROM {database}.transitions AS t FINAL
        WHERE to_stage = 'mql' AND NOT inferred AND lead_id NOT IN (SELECT lead_id FROM {database}.v_absorbed)
    ) AS handed
    INNER JOIN
    (
        -- What came of each: the steps up to the next decision of the cycle.
        SELECT
            anyIf(step.id, decides) AS id,
            minOrNullIf(step.occurred_at, step.to_stage IN ('sal', 'sql', 'opportunity', 'customer')) AS accepted_at,
            minOrNullIf(step.occurred_at, step.to_stage IN ('sql', 'opportunity', 'customer')) AS sql_at,
            minOrNullIf(step.occurred_at, step.to_stage = 'customer') AS won_at,
            maxIf((step.seq, step.occurred_at, step.id), turns_down) AS latest_down,
            -- Unless it came back, a reopened opportunity, say.
            latest_down.1 > maxIf(step.seq, step.to_stage IN ('sal', 'sql', 'opportunity', 'customer')) AS has_ended,
            if(has_ended, latest_down.2, NULL) AS ended_at,
            if(has_ended, latest_down.3, NULL) AS ended_by
        FROM
        (
            SELECT
                lead_id,
                cycle,
                seq,
                id,
                occurred_at,
                to_stage,
                to_stage = 'mql' AND NOT inferred AS decides,
                cause = 'crm' AND to_stage IN ('engaged', 'nurture', 'disqualified', 'lost') AS turns_down,
                countIf(to_stage = 'mql' AND NOT inferred) OVER (PARTITION BY lead_id ORDER BY seq) AS number
            FROM {database}.transitions FINAL
            WHERE lead_id IN (SELECT lead_id FROM candidates)
        ) AS step
        WHERE number > 0
        GROUP BY lead_id, cycle, number
        HAVING countIf(decides) > 0  -- not what a cycle had before its first decision
    ) AS course USING (id)
    LEFT JOIN
    (
        SELECT lead_id, source, medium
        FROM {database}.lead_state FINAL
        WHERE lead_id IN (SELECT lead_id FROM candidates)
    ) AS state USING (lead_id)
    LEFT JOIN (SELECT toNullable(id) AS ended_by, reason, kind FROM {database}.v_turndowns) AS down USING (ended_by)
    LEFT JOIN (SELECT transition_id AS id, toString(v_sla.policy) AS policy, outcome, answered_after_s FROM {database}.v_sla) AS clock USING (id, policy)
    LEFT JOIN
    (
        SELECT
            lead_id,
            arraySort(event -> (event.at, event.id), groupArray((occurred_at, source_event_id, event_id, toString(type), toString(owner))::Tuple(
                at DateTime64(3, 'UTC'), id String, key UUID, type String, owner String
            ))) AS told,
            -- Of tellings of one event that differ in time the earliest counts, as in the streams.
            arrayFilter((event, nth) -> nth = 1, told, arrayEnumerateUniq(told.key)) AS events
        FROM {database}.v_crm_events
        WHERE lead_id IN (SELECT lead_id FROM candidates) AND (owner != '' OR has(responses, type))
        GROUP BY lead_id
    ) AS sales USING (lead_id)
)
