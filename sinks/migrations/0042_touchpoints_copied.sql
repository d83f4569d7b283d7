INSERT INTO {database}.touchpoints SELECT * FROM {database}.touchpoints_by_month
