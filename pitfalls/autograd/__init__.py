"""Pitfalls of autograd: what is recorded, where gradients go, and when the graph is gone."""
