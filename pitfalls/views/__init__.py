"""Pitfalls of views: which operations share memory, strides and memory formats, overlapping elements, storages."""
