"""Exports of other systems onto the input topics, by a mapping file."""
