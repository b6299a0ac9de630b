"""Limits of the requests that operators make to a clock's leader through the store."""

MAX_PENDING_REQUESTS = 64
"""The largest number of requests that can wait for a leader."""
REQUEST_RETENTION_MS = 60_000
"""How long a request is kept after it expired, so that a leader can still write its result."""
