"""A long log through a model with every core, in memory that does not grow with the log."""
