ATTACH TABLE IF NOT EXISTS {database}.touchpoints_by_month
