"""Clocks from committed offsets, with groups that know nothing of clocksvc, and faults of every kind."""
