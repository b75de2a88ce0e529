"""Pitfalls of torch.nn.Module: what it registers, saves, converts and calls, and the tools of torch.nn.utils for it."""
