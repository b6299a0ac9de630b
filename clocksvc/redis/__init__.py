"""Everything that talks to Redis. Only this package imports `redis`."""
