"""The servers that a chaos run hurts: Apache Kafka, ClickHouse's stand-in, a registry."""
