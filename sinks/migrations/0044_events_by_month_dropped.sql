DROP TABLE IF EXISTS {database}.touchpoints_by_month, {database}.crm_events_by_month SYNC
SETTINGS max_table_size_to_drop = 0
