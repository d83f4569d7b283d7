"""A predictive score out of a history: decisions, parts in time, training, evaluation, card."""
