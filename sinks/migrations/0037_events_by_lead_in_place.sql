RENAME TABLE
    IF EXISTS {database}.touchpoints_by_lead TO {database}.touchpoints,
    IF EXISTS {database}.crm_events_by_lead TO {database}.crm_events
