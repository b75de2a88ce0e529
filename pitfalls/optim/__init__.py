"""Pitfalls of optimizers and learning-rate schedulers: what they accept, what they keep, and when they step."""
