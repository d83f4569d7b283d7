"""The contracts: topic names, Avro schemas, settings, and the structs that the code passes around."""
