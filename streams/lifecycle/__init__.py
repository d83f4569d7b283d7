"""The lifecycle stage: folds `lead.events` into states, transitions and SLA events."""
