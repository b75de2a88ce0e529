"""Pitfalls of loading data: datasets, samplers, batches, and the workers that make them."""
