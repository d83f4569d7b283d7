"""Change feeds of other systems, read from Kafka topics onto the input topics."""
