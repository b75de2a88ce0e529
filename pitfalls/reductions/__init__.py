"""Pitfalls of reductions: what one number says of many, when they are NaN, equal, even in number, or none at all."""
