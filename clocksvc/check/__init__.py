"""`clocksvc check`: finds mistakes in an installation before they cause a hold, and describes how to fix them.

The modules `probe_*` read facts from Redis, Kafka and this machine. Their waits have time limits. The modules `rules_*`
evaluate facts, without I/O.
"""
