"""Sparse tensors: COO and the compressed layouts, what they store and what they refuse."""
