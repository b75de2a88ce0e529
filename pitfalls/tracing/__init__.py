"""Pitfalls of torch.jit and torch.fx: what a trace records, and what it leaves out."""
