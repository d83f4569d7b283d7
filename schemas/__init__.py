"""The contracts: topic names, Avro schemas, settings, and the structs passed around."""
