"""Pitfalls of layers and modules: what torch.nn computes, registers and accepts, in training and in eval mode."""
