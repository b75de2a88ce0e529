"""Pitfalls of exchanging memory with other libraries: what crosses, what is refused, what is shared."""
