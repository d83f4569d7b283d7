"""The stream processors: who is it (identify), where does the lead stand (lifecycle)."""
