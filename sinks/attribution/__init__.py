"""Which touches a conversion is due to: rule-based models, Markov chains, Shapley values, paths."""
