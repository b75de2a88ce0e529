"""Pitfalls of threads and processes: what they share, what they inherit, and how they end."""
