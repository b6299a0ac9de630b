"""Commands and configurations of the documents that need helm or Prometheus."""
