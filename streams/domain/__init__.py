"""Events in, decisions out. Pure: no Kafka, no clock, no I/O. Start with `lead.py`."""
