-- SYNC waits for inserts that found the table before it was set aside.
DETACH TABLE IF EXISTS {database}.crm_events_by_month SYNC
