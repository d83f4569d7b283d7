"""How fast and how surely leads move on: rates with their uncertainty, curves, cohorts."""
