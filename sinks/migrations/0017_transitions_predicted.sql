ALTER TABLE {database}.transitions ADD COLUMN IF NOT EXISTS predicted Nullable(Float64) COMMENT 'How likely a handoff at this instant succeeds, 0 to 1, NULL where the model names no score file.',
    ADD COLUMN IF NOT EXISTS `predicted_contributions.feature` Array(LowCardinality(String)) COMMENT 'Features of the predicted score, the weightiest first, (rest) is the sum of the others and (base) an average lead.',
    ADD COLUMN IF NOT EXISTS `predicted_contributions.value` Array(Float64) COMMENT 'What each feature was.',
    ADD COLUMN IF NOT EXISTS `predicted_contributions.log_odds` Array(Float64) COMMENT 'What each feature adds, together the log-odds of predicted.'
