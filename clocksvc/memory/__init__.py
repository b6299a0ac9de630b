"""The interfaces in memory, for users' tests and for clocksvc's own. They never fail; `tests/faulty` adds faults."""
