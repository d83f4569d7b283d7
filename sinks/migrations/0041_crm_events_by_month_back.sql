ATTACH TABLE IF NOT EXISTS {database}.crm_events_by_month
