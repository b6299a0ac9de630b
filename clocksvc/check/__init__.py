"""`clocksvc check`: finds mistakes in an installation before they hold a clock, and says what to do about each.

`probe_*` read facts from Redis, Kafka and this machine, in bounded time; `rules_*` evaluate facts, without I/O.
"""
