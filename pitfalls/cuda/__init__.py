"""GPUs: where tensors are, machines without one, asynchronous work, streams, memory, graphs and processes."""
