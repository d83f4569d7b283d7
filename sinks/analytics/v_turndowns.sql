-- Turn-downs: one row each time that sales turned a lead down, sent it back or lost it, with the
-- hand-over (MQL decision) before it in the same cycle, and the rules that had points there.
--   SELECT source, campaign, reason, count() FROM v_turndowns WHERE NOT is_procedural GROUP BY ALL
-- Cooldowns that end are none. A reason that is missing is (none); a wording that the model does not
-- know is (unmapped), and reason_given has it. is_last marks the last one of a lead's cycle.
-- Columns:
--   lead_id: The lead that was turned down.
--   cycle: Cycle of the lead in which it was turned down, from 1.
--   id: Id of the transition, transitions.id.
--   turned_down_at: When sales did it, UTC.
--   from_stage: The stage that the lead left.
--   to_stage: engaged (a procedural reason), nurture, disqualified or lost.
--   cause: What happened in the CRM: lead_rejected, lead_recycled, lead_disqualified,
--     opportunity_lost.
--   reason: A reason of the taxonomy; (unmapped): the model does not know the wording; (none): none
--     given.
--   reason_given: The wording of the CRM.
--   kind: timing, fit, permanent, procedural, (other) of a reason that the model added, or (none).
--   is_procedural: Whether the reason says nothing of the lead, and quality figures leave it out.
--   is_last: Whether it is the last turn-down in the cycle of the lead.
--   owner: Who had the lead when it was turned down; (none): nobody.
--   channel: Of the lead's first touchpoint; (none) where it named none.
--   source: Of the lead's first touchpoint; (none) where it named none.
--   medium: Of the lead's first touchpoint; (none) where it named none.
--   campaign: Of the lead's first touchpoint; (none) where it named none.
--   grade: Fit grade, A to F, at the hand-over, or at the turn-down of a lead that nobody handed
--     over.
--   handover_id: The MQL decision before it in the cycle, v_handovers.id; null: nobody handed it
--     over.
--   handed_over_at: When that decision was, UTC; null: nobody handed it over.
--   criterion: The criterion that had decided; empty: nobody handed it over.
--   model_version: Version of the model that had decided; empty: nobody handed it over.
--   rules: Rules that had points at that decision.
WITH
    ['no_budget', 'not_ready', 'no_authority', 'no_response'] AS of_timing,
    ['too_small', 'wrong_industry', 'wrong_geo', 'wrong_role', 'no_need', 'has_solution'] AS of_fit,
    ['competitor', 'student_or_jobseeker', 'spam', 'legal_optout'] AS of_permanence,
    ['duplicate', 'wrong_territory', 'missing_data', 'existing_opportunity', 'existing_customer'] AS of_procedure,
    turned_down AS
    (
        -- More leads than are in the end are no harm: it only narrows what is joined.
        SELECT lead_id FROM {database}.transitions WHERE cause = 'crm' AND to_stage IN ('engaged', 'nurture', 'disqualified', 'lost')
    )
SELECT
    down.lead_id AS lead_id,
    down.cycle AS cycle,
    down.id AS id,
    down.turned_down_at AS turned_down_at,
    down.from_stage AS from_stage,
    down.to_stage AS to_stage,
    down.cause AS cause,
    down.reason AS reason,
    down.reason_given AS reason_given,
    down.kind AS kind,
    down.kind = 'procedural' AS is_procedural,
    down.is_last AS is_last,
    down.owner AS owner,
    if(down.channel = '', '(none)', down.channel) AS channel,
    if(state.source = '', '(none)', state.source) AS source,
    if(state.medium = '', '(none)', state.medium) AS medium,
    if(down.campaign = '', '(none)', down.campaign) AS campaign,
    if(handover.grade = '', down.grade, handover.grade) AS grade,
    handover.id AS handover_id,
    handover.handed_over_at AS handed_over_at,
    handover.criterion AS criterion,
    handover.model_version AS model_version,
    handover.rules AS rules
FROM
(
    SELECT
        lead_id,
        cycle,
        seq,
        id,
        occurred_at AS turned_down_at,
        toString(t.from_stage) AS from_stage,
        toString(t.to_stage) AS to_stage,
        toString(cause_type) AS cause,
        toString(multiIf(t.reason != '', t.reason, t.reason_given != '', '(unmapped)', '(none)')) AS reason,
        t.reason_given AS reason_given,
        multiIf(
            -- Of those that were handed over only the procedurally rejected are engaged again,
            -- which also tells the procedural reasons that a model adds.
            max(t.to_stage = 'engaged') OVER (PARTITION BY t.reason) OR has(of_procedure, reason), 'procedural',
            has(of_timing, reason), 'timing',
            has(of_fit, reason), 'fit',
            has(of_permanence, reason), 'permanent',
            startsWith(reason, '('), '(none)',
            '(other)'
        ) AS kind,
        seq = max(seq) OVER (PARTITION BY lead_id, cycle) AS is_last,
        if(t.owner = '', '(none)', toString(t.owner)) AS owner,
        toString(t.channel) AS channel,
        toString(t.campaign) AS campaign,
        toString(t.grade) AS grade
    FROM {database}.transitions AS t FINAL
    WHERE t.cause = 'crm' AND t.to_stage IN ('engaged', 'nurture', 'disqualified', 'lost')
        AND lead_id NOT IN (SELECT lead_id FROM {database}.v_absorbed)
) AS down
ASOF LEFT JOIN
(
    SELECT
        lead_id,
        cycle,
        seq,
        toNullable(t.id) AS id,
        toNullable(occurred_at) AS handed_over_at,
        toString(t.criterion) AS criterion,
        toString(t.model_version) AS model_version,
        toString(t.grade) AS grade,
        arrayMap(rule -> toString(rule), arrayFilter((rule, points) -> points != 0, contributions.rule, contributions.points)) AS rules
    FROM {database}.transitions AS t FINAL
    WHERE t.to_stage = 'mql' AND NOT inferred AND lead_id IN (SELECT lead_id FROM turned_down)
) AS handover ON handover.lead_id = down.lead_id AND handover.cycle = down.cycle AND handover.seq < down.seq
LEFT JOIN
(
    SELECT lead_id, source, medium
    FROM {database}.lead_state FINAL
    WHERE lead_id IN (SELECT lead_id FROM turned_down)
) AS state ON state.lead_id = down.lead_id
