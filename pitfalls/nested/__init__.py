"""Nested and masked tensors: ragged batches and missing values."""
