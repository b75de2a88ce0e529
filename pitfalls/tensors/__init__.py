"""Pitfalls of tensors themselves: creation, dtypes, shapes, views, in-place operations."""
