"""Pitfalls of numbers: what operators promise about values, dtypes and shapes, and where they stop."""
