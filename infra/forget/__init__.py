"""Erasing a person: following the request through the pipeline, the letters, and what remains."""
