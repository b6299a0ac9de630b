"""A real Kafka and a real Valkey as child processes, for `clocksvc dev` and for tests.

Nothing has to be installed by hand. These modules start servers and end them; whether a server that runs already is
used instead (`KAFKA_BOOTSTRAP`, `REDIS_URL`) is the caller's decision. They speak to no server beyond seeing that it
listens.
"""
