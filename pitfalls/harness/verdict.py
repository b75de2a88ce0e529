"""The exit codes that a gate can rely on, beside pytest's own 0 to 5."""

#: Nothing changed at or above the bar.
UNCHANGED = 0
#: Something changed at or above the bar.
CHANGED = 10
#: No verdict: a record is missing or broken, a side ran nothing or not all, an environment could not be made.
INCOMPLETE = 11
