"""Pitfalls of torch.compile and torch.export: what is captured, and what a captured program refuses."""
