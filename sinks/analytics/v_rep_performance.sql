-- What each owner does with the leads that were handed over to them, of all times: how fast, how
-- persistently, what becomes of them, and what was to be expected of leads of these grades. Early is
-- turned down within 24 hours, or after fewer than two activities; see v_performance.
SELECT
    owner, leads, grades, accepted, turned_down, procedural, open,
    answered, never_answered, in_time, median_response_s, p90_response_s,
    decided, median_activities, few, few_share, given_up, early, early_share,
    sal, sal_decided, expected_sal, sql, sql_decided, expected_sql, won, won_decided, expected_won
FROM {database}.v_performance(
    since = '1900-01-01 00:00:00.000', until = '2299-12-31 23:59:59.999', early_hours = 24, few_activities = 2
)
