-- Accounts: one row per account with what is known of all its people together: who is engaged, how
-- far the furthest has come, which personas of the buying group are there, and what is at stake.
--   SELECT account, engaged_people, score, missing FROM v_accounts ORDER BY score DESC
-- Only versions of the model with a section on accounts tell them. Leads that were merged into
-- another one are not counted. Engaged is who stands at engaged or a later stage of the main line;
-- whose score faded, who rests in nurture, and who was turned down is not.
-- Columns:
--   account: crm:<id>, group:<id> or domain:<domain>.
--   known_by: Who says that its people belong together: crm, group or domain.
--   people: Leads that are known, or were.
--   visitors: Leads of whom nobody is known yet.
--   engaged_people: Leads that stand at engaged, mql, sal, sql, opportunity or customer now.
--   stage: Present stage of the lead that stands furthest; where nobody is on the main line:
--     nurture, then lost, then disqualified.
--   score: Engagement of all leads and the best fit among them; who is disqualified or lost gives
--     nothing.
--   engagement: Points for what its leads do, added up.
--   fit: The best points for who one of its leads is.
--   grade: The best fit grade of its leads, A to F; (none) where all are disqualified or lost.
--   covered: Personas of the buying group that an engaged lead has.
--   missing: Personas of the buying group that no engaged lead has.
--   has_buying_group: Whether every persona that the model wants is covered; no where it wants none.
--   mql: Leads that reached mql or a later stage.
--   sql: Leads that reached sql or a later stage.
--   won: Leads that became customers.
--   open_amounts: What its open opportunities are worth, by currency; one that several leads share
--     counts once.
--   first_event_at: The earliest event of its leads, UTC.
--   last_event_at: The latest event of its leads, UTC.
WITH
    ['anonymous', 'disqualified', 'lost', 'nurture', 'known', 'engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer']
        AS stages
SELECT
    of.account AS account,
    splitByChar(':', of.account)[1] AS known_by,
    people,
    visitors,
    engaged_people,
    stages[place] AS stage,
    round(engagement + fit, 4) AS score,
    engagement,
    fit,
    grade,
    arrayFilter(role -> has(personas, role), wanted) AS covered,
    arrayFilter(role -> NOT has(personas, role), wanted) AS missing,
    notEmpty(wanted) AND empty(missing) AS has_buying_group,
    mql,
    sql,
    won,
    open.amounts AS open_amounts,
    first_event_at,
    last_event_at
FROM
(
    SELECT
        leads.account AS account,
        countIf(furthest > 0) AS people,
        countIf(furthest = 0) AS visitors,
        countIf(is_engaged) AS engaged_people,
        max(indexOf(stages, toString(leads.stage))) AS place,
        round(sumIf(leads.engagement, counts), 4) AS engagement,
        maxIf(leads.fit, counts) AS fit,
        if(countIf(counts) = 0, '(none)', minIf(toString(leads.grade), counts)) AS grade,
        argMax(arrayMap(role -> toString(role), leads.buying_group), (leads.last_event_at, leads.lead_id)) AS wanted,
        groupUniqArrayIf(toString(leads.persona), is_engaged) AS personas,
        countIf(furthest >= 3) AS mql,
        countIf(furthest >= 5) AS sql,
        countIf(furthest >= 7) AS won,
        min(leads.first_event_at) AS first_event_at,
        max(leads.last_event_at) AS last_event_at
    FROM
    (
        SELECT
            *,
            stage IN ('engaged', 'mql', 'sal', 'sql', 'opportunity', 'customer') AS is_engaged,
            stage NOT IN ('disqualified', 'lost') AS counts
        FROM {database}.v_leads
        WHERE account != ''
    ) AS leads
    GROUP BY account
) AS of
LEFT JOIN
(
    SELECT account, mapFromArrays(groupArray(currency), groupArray(amount)) AS amounts
    FROM
    (
        SELECT account, currency, sum(amount) AS amount
        FROM
        (
            -- Several people of an account may be told of one opportunity.
            SELECT
                account,
                argMax(assumeNotNull(leads.amount), (last_event_at, lead_id)) AS amount,
                argMax(toString(leads.currency), (last_event_at, lead_id)) AS currency
            FROM {database}.v_leads AS leads
            WHERE account != '' AND stage = 'opportunity' AND isNotNull(leads.amount)
            GROUP BY account, if(opportunity_id = '', lead_id, opportunity_id)
        )
        GROUP BY account, currency
        ORDER BY account, currency
    )
    GROUP BY account
) AS open ON open.account = of.account
