"""Pitfalls of loss functions: what they take as input and target, and over what they average."""
