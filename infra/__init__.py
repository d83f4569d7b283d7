"""How it is run: the command line, Kafka, the embedded default, topics, models and mappings."""
