"""What vendors send over HTTP, translated into events; no HTTP in here, and no Kafka."""
