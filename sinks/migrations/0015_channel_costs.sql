CREATE TABLE IF NOT EXISTS {database}.channel_costs
(
    day Date COMMENT 'Day of the spending, UTC.',
    channel LowCardinality(String) COMMENT 'As touchpoints name it; empty where the costs name none.',
    source LowCardinality(String) COMMENT 'As touchpoints name it; empty where the costs name none.',
    medium LowCardinality(String) COMMENT 'As touchpoints name it; empty where the costs name none.',
    campaign LowCardinality(String) COMMENT 'As touchpoints name it; empty where the costs name none.',
    amount Decimal(18, 2) COMMENT 'What was spent.',
    currency LowCardinality(String) COMMENT 'ISO 4217.',
    loaded_at DateTime64(3, 'UTC') COMMENT 'When it was loaded; the latest wins.'
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY (day, channel, source, medium, campaign, currency)
COMMENT 'What marketing spent, as loaded by leadstream costs; once per day and key after FINAL.'
