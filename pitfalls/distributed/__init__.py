"""Pitfalls of training with several processes: process groups, collectives, DistributedDataParallel, checkpoints."""
