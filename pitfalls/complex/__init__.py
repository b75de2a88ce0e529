"""Complex tensors: views, lazy conjugation, gradients and conversions."""
