"""Linear algebra: decompositions, solvers, norms and matrix products."""
