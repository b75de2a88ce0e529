"""The machinery around the catalogue: a thin pytest plugin, records of runs and their comparison."""
