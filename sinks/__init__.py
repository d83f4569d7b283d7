"""Kafka into ClickHouse, and the answers out of it."""
