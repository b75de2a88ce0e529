"""Pitfalls of the tools around torch: profiling, counting, testing, flattening, quantizing."""
