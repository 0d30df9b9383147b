"""Looks for the recipe that a target gains most from within its budgets; docs/explanation/tune.md says how."""
