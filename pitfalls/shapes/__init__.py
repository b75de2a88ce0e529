"""Pitfalls of shapes: broadcasting, `out=`, assignment, repetition, and the shapes of matrix products."""
