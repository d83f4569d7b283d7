INSERT INTO {database}.crm_events SELECT * FROM {database}.crm_events_by_month
