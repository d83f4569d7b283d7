"""A long history folded lead by lead: split by lead onto disk, then each lead from all it has."""
