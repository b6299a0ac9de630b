"""Runs a real Kafka and a real Valkey as child processes, for `clocksvc dev` and for tests.

The user need not install these servers. The modules start and stop servers, and check that they listen. They contain no
clients of the servers. The caller can use a running server instead (`KAFKA_BOOTSTRAP`, `REDIS_URL`).
"""
