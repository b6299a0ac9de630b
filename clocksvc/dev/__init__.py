"""A real Kafka and a real Valkey as child processes, for `clocksvc dev` and for tests.

Nothing has to be installed by hand. These modules start and stop servers and check that they listen; they hold no
clients. The caller decides whether to use a running server instead (`KAFKA_BOOTSTRAP`, `REDIS_URL`).
"""
