"""Tests that need a browser, a Prometheus or helm: run by `make test-ops`, not by `make test`."""
