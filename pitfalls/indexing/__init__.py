"""Pitfalls of indexing: masks, lists and index tensors, gather and scatter, orders and ties, indices out of range."""
