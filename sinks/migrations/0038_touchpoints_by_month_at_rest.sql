-- SYNC waits for inserts that found the table before it was set aside.
DETACH TABLE IF EXISTS {database}.touchpoints_by_month SYNC
