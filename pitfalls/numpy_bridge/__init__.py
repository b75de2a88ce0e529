"""Pitfalls between torch and NumPy: what shares memory, what copies, what refuses."""
