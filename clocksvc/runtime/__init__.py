"""Mechanisms for all parts of a process: worker threads, back-off between retries, and handling of forks."""
