"""Pitfalls of saving and loading: what a file may hold, what loading it runs, and what is in it."""
