"""Extending torch: custom functions and their check, tensor subclasses, tensor-like types and modes."""
