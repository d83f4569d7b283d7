"""What sales makes of the leads that marketing hands over: rules, their weights, and reps."""
