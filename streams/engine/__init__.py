"""The hot path: partitions, transactions, state, recovery and dead letters; knows no lead."""
