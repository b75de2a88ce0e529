"""The proof that every pin can fail: each test of the catalogue, run against a torch that misbehaves.

``python -m pytest -p tests.proof.plugin pitfalls`` runs it and prints a table. `points` finds the calls of torch that a
test makes, `mutations` says how one of them may misbehave, `plugin` runs the tests and judges them.
"""
