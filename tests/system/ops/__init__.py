"""What needs a browser, a Prometheus or helm: run by `make test-ops`, never by `make test`."""
