"""Pitfalls of torch.func: what vmap, grad and their relatives see of a function, and what they refuse."""
