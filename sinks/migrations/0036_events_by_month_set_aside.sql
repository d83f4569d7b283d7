RENAME TABLE
    IF EXISTS {database}.touchpoints TO {database}.touchpoints_by_month,
    IF EXISTS {database}.crm_events TO {database}.crm_events_by_month
