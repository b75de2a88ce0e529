"""Pitfalls of automatic mixed precision: what autocast converts, and what GradScaler does to gradients and steps."""
