"""Pitfalls of randomness: seeds and generators, what is drawn, determinism, and distributions."""
