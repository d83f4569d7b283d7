"""The chaos harness: a log, processes, faults, and one verdict."""
