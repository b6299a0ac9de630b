"""The in-memory implementations of clocksvc with faults: no answer, lost state, lost commits, lagging metadata."""
