"""PyTorch's documented surprises, each a class of tests that shows the trap and the way out.

A catalogue module needs these names and plain torch, nothing else. Importing this package imports neither torch nor
numpy nor pytest, because the pytest plugin that lives in it is loaded in every pytest run of its environment.
"""

from pitfalls.harness.marks import before, child, observe, on, pitfall, since

__version__ = "0.1.0"
__all__ = ["before", "child", "observe", "on", "pitfall", "since"]
