"""Everything on one machine: the embedded broker, chDB, and synthetic leads."""
