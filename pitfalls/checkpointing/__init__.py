"""Memory for time: activation checkpointing, and what else keeps tensors alive."""
