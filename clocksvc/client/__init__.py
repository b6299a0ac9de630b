"""The Python client for applications: Reporter, `ticks`, `wait_until`, and the HTTP client that they use."""
