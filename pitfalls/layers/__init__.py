"""Pitfalls of the layers of torch.nn: what each computes, which shapes and arguments it takes, and what it keeps."""
