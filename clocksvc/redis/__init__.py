"""All clients of Redis. Only this package imports `redis`."""
